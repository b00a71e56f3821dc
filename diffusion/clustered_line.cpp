#include "diffusion/clustered_line.h"

#include <cmath>
#include <optional>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

struct Fit {
  double slope = 0, intercept = 0;
};

/// Through the points of the chosen clusters, in two passes; none where they have one x.
std::optional<Fit> line_through(std::span<const PointCluster> clusters, std::span<const std::size_t> chosen) {
  double n = 0, x_sum = 0, y_sum = 0;
  for (const std::size_t c : chosen)
    for (std::size_t i = 0; i < clusters[c].x.size(); ++i) {
      n += 1;
      x_sum += clusters[c].x[i];
      y_sum += clusters[c].y[i];
    }
  const double x_mean = x_sum / n, y_mean = y_sum / n;
  double xx = 0, xy = 0;
  for (const std::size_t c : chosen)
    for (std::size_t i = 0; i < clusters[c].x.size(); ++i) {
      const double dx = clusters[c].x[i] - x_mean;
      xx += dx * dx;
      xy += dx * (clusters[c].y[i] - y_mean);
    }
  // Rounding of equal values leaves no more than this.
  if (!(xx > 1e-24 * n * (x_mean * x_mean))) return {};
  return Fit{xy / xx, y_mean - xy / xx * x_mean};
}

Estimate estimate_of(double value, const std::vector<double>& drawn, std::int64_t clusters, double level) {
  const double tail = (1 - level) / 2;
  return {value, std::sqrt(variance(drawn)), quantile(drawn, tail), quantile(drawn, 1 - tail), clusters};
}

}  // namespace

ClusteredLine clustered_line(std::span<const PointCluster> clusters, std::span<const double> at,
                             const Bootstrap& settings) {
  require(settings.resamples >= 2 && settings.level > 0 && settings.level < 1,
          "clustered_line: {} resamples at level {}, expected at least 2 at a level between 0 and 1",
          settings.resamples, settings.level);
  require(clusters.size() >= 2, "clustered_line: got {} clusters, needs at least 2", clusters.size());
  std::vector<double> x, y;
  std::vector<std::size_t> all;
  for (const PointCluster& cluster : clusters) {
    require(cluster.x.size() == cluster.y.size() && !cluster.x.empty(),
            "clustered_line: a cluster has {} x and {} y, expected pairs", cluster.x.size(), cluster.y.size());
    x.insert(x.end(), cluster.x.begin(), cluster.x.end());
    y.insert(y.end(), cluster.y.begin(), cluster.y.end());
    all.push_back(all.size());
  }
  const Line whole = fit_line(x, y, settings.level);  // checks the values
  ClusteredLine line;
  line.r_squared = whole.r_squared;
  line.points = whole.n;
  line.clusters = static_cast<std::int64_t>(clusters.size());

  std::vector<double> slopes, intercepts;
  std::vector<std::vector<double>> values(at.size());
  const RandomKey key{settings.seed, Purpose::bootstrap, settings.step};
  std::vector<std::size_t> chosen(clusters.size());
  for (std::uint32_t r = 0, draw = 0; r < static_cast<std::uint32_t>(settings.resamples); ++draw) {
    for (std::size_t slot = 0; slot < chosen.size(); ++slot)
      chosen[slot] =
          static_cast<std::size_t>(uniform_integer(key, draw, line.clusters, static_cast<std::uint32_t>(slot)));
    const auto fit = line_through(clusters, chosen);
    if (!fit) continue;
    ++r;
    slopes.push_back(fit->slope);
    intercepts.push_back(fit->intercept);
    for (std::size_t i = 0; i < at.size(); ++i) values[i].push_back(fit->intercept + fit->slope * at[i]);
  }
  line.slope = estimate_of(whole.slope, slopes, line.clusters, settings.level);
  line.intercept = estimate_of(whole.intercept, intercepts, line.clusters, settings.level);
  for (std::size_t i = 0; i < at.size(); ++i)
    line.at.push_back(estimate_of(whole.intercept + whole.slope * at[i], values[i], line.clusters, settings.level));
  return line;
}

}  // namespace tweedie
