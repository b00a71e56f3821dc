#include "diffusion/memorization.h"

#include <algorithm>
#include <cmath>

namespace tweedie {

namespace {

/// Image `index` of the set with its mirror images, which stand after the images themselves.
void copy_reference(const data::ImageSet& images, std::int64_t index, std::span<float> out) {
  images.copy_float(index % images.count, out);
  if (index < images.count) return;
  const auto row = static_cast<std::size_t>(images.width * images.channels);
  const auto channels = static_cast<std::size_t>(images.channels);
  for (std::size_t first = 0; first < out.size(); first += row)
    for (std::size_t left = first, right = first + row - channels; left < right; left += channels, right -= channels)
      std::swap_ranges(&out[left], &out[left] + channels, &out[right]);
}

double cosine(std::span<const float> a, std::span<const float> b, std::span<const double> centre) {
  double product = 0.0, norm_a = 0.0, norm_b = 0.0;
  for (std::size_t i = 0; i < centre.size(); ++i) {
    const double from_a = double{a[i]} - centre[i], from_b = double{b[i]} - centre[i];
    product += from_a * from_b;
    norm_a += from_a * from_a;
    norm_b += from_b * from_b;
  }
  return norm_a > 0.0 && norm_b > 0.0 ? product / std::sqrt(norm_a * norm_b) : 0.0;
}

}  // namespace

NeighbourMeasures neighbour_measures(std::span<const float> images, const EmpiricalScore& reference,
                                     std::span<const std::int64_t> excluded) {
  const auto d = static_cast<std::size_t>(reference.dimension());
  require(images.size() % d == 0, "neighbour measures: {} values are no whole images of {}", images.size(), d);
  const std::size_t n = images.size() / d;
  const std::int64_t k = std::min<std::int64_t>(50, reference.count());
  require(k >= 2, "neighbour measures: at least two reference images are needed, got {}", reference.count());
  NeighbourMeasures measures;
  const std::vector<double> centre = mean_image(reference.images());
  std::vector<float> nearest(d);
  constexpr std::size_t piece = 256;
  for (std::size_t first = 0; first < n; first += piece) {
    const std::size_t rows = std::min(piece, n - first);
    // At alpha = 1 the engine's distances are those of the images themselves, whatever sigma.
    const std::vector<float> ones(rows, 1.0f);
    EmpiricalOptions options;
    options.neighbours = k;
    options.posterior = false;
    if (!excluded.empty()) options.excluded = excluded.subspan(first, rows);
    const EmpiricalResult result = reference.evaluate(images.subspan(first * d, rows * d), ones, ones, options);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto distances =
          std::span(result.neighbour_distances).subspan(row * static_cast<std::size_t>(k), static_cast<std::size_t>(k));
      double squares = 0.0;
      std::int64_t found = 0;
      for (const double distance : distances)
        if (std::isfinite(distance)) {
          squares += distance * distance;
          ++found;
        }
      require(found >= 2, "neighbour measures: fewer than two reference images are left for image {}", first + row);
      const double average = squares / static_cast<double>(found);
      measures.nearest.push_back(result.nearest[row]);
      measures.distance.push_back(distances[0]);
      // An image that equals all its neighbours is as near as can be.
      measures.m.push_back(average > 0.0 ? distances[0] * distances[0] / average : 0.0);
      measures.nearest_over_second.push_back(distances[1] > 0.0 ? distances[0] / distances[1] : 0.0);
      copy_reference(reference.images(), result.nearest[row], nearest);
      measures.correlation.push_back(cosine(images.subspan((first + row) * d, d), nearest, centre));
    }
  }
  return measures;
}

MemorisedFractions memorised_fractions(const NeighbourMeasures& measures) {
  const auto n = static_cast<double>(measures.m.size());
  const auto share = [n](const std::vector<double>& values, double below) {
    return static_cast<double>(std::count_if(values.begin(), values.end(), [&](double v) { return v < below; })) / n;
  };
  require(n > 0.0, "memorised fractions: no images");
  return {.m_third = share(measures.m, 1.0 / 3.0),
          .sqrt_m_third = share(measures.m, 1.0 / 9.0),
          .sqrt_m_half = share(measures.m, 1.0 / 4.0),
          .nn_ratio_third = share(measures.nearest_over_second, 1.0 / 3.0)};
}

MemorisedEstimates memorised_estimates(const NeighbourMeasures& measures, std::span<const std::int64_t> sources,
                                       const Bootstrap& settings) {
  const auto share = [&](const std::vector<double>& values, double below) {
    std::vector<double> passes;
    for (const double value : values) passes.push_back(value < below ? 1.0 : 0.0);
    return bootstrap_mean(passes, settings);
  };
  MemorisedEstimates estimates{.m_third = share(measures.m, 1.0 / 3.0),
                               .sqrt_m_third = share(measures.m, 1.0 / 9.0),
                               .sqrt_m_half = share(measures.m, 1.0 / 4.0),
                               .nn_ratio_third = share(measures.nearest_over_second, 1.0 / 3.0),
                               .correlation = bootstrap_mean(measures.correlation, settings),
                               .source_recovery = {}};
  if (sources.empty()) return estimates;
  require(sources.size() == measures.nearest.size(), "memorised estimates: {} sources of {} images", sources.size(),
          measures.nearest.size());
  std::vector<double> recovered;
  for (std::size_t i = 0; i < sources.size(); ++i) recovered.push_back(measures.nearest[i] == sources[i] ? 1.0 : 0.0);
  estimates.source_recovery = bootstrap_mean(recovered, settings);
  return estimates;
}

std::vector<double> paired_correlation(std::span<const float> a, std::span<const float> b,
                                       std::span<const double> centre) {
  const std::size_t d = centre.size();
  require(d > 0 && a.size() == b.size() && a.size() % d == 0,
          "paired correlation: {} and {} values, expected as many whole images of {} in both", a.size(), b.size(), d);
  std::vector<double> correlations;
  for (std::size_t first = 0; first < a.size(); first += d)
    correlations.push_back(cosine(a.subspan(first, d), b.subspan(first, d), centre));
  return correlations;
}

std::vector<double> mean_image(const data::ImageSet& images) {
  require(images.count >= 1, "mean image: the set is empty");
  std::vector<float> image(static_cast<std::size_t>(images.dimension()));
  std::vector<double> mean(image.size());
  for (std::int64_t i = 0; i < images.count; ++i) {
    images.copy_float(i, image);
    for (std::size_t j = 0; j < image.size(); ++j) mean[j] += double{image[j]} / static_cast<double>(images.count);
  }
  return mean;
}

}  // namespace tweedie
