#include "diffusion/gap_measures.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/statistics.h"
#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

/// The bin of x, -1 outside.
std::int64_t bin_of(double x, const LineBins& bins) {
  const double place = (x - bins.from) / bins.width();
  return place >= 0.0 && place < static_cast<double>(bins.count) ? static_cast<std::int64_t>(place) : -1;
}

void check_sizes(std::span<const double> p, std::span<const double> q) {
  require(!p.empty() && p.size() == q.size(), "binned laws of {} and {} bins", p.size(), q.size());
}

double normal_distribution(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

}  // namespace

GapMasses gap_masses(std::span<const float> samples, const PointSet& set, const LineBins& bins) {
  require(set.dimension() == 1 && !samples.empty(), "gap masses: {} samples, points of dimension {}", samples.size(),
          set.dimension());
  std::vector<double> points(set.points().begin(), set.points().end());
  std::sort(points.begin(), points.end());
  GapMasses masses;
  for (const float sample : samples) {
    const double x = sample;
    const auto above = std::upper_bound(points.begin(), points.end(), x);
    double nearest = INFINITY;
    if (above != points.begin()) nearest = x - above[-1];
    if (above != points.end()) nearest = std::min(nearest, *above - x);
    if (above != points.begin() && above != points.end() && nearest >= 0.25 * (*above - above[-1])) masses.gap += 1.0;
    if (nearest <= 0.1) masses.near += 1.0;
    if (bin_of(x, bins) < 0) masses.outside += 1.0;
  }
  const auto count = static_cast<double>(samples.size());
  return {masses.gap / count, masses.near / count, masses.outside / count};
}

PlaneMasses plane_masses(std::span<const float> samples, const PointSet& set) {
  require(set.dimension() == 2 && !samples.empty() && samples.size() % 2 == 0,
          "plane masses: {} numbers, points of dimension {}", samples.size(), set.dimension());
  const auto points = set.points();
  std::vector<double> middles;
  for (std::size_t i = 0; i < points.size(); ++i)
    middles.push_back(0.5 * (points[i] + points[(i + 2) % points.size()]));
  const auto within = [](double x, double y, std::span<const double> places) {
    for (std::size_t i = 0; i < places.size(); i += 2)
      if (std::pow(x - places[i], 2) + std::pow(y - places[i + 1], 2) <= 0.0625) return 1.0;
    return 0.0;
  };
  const double origin[] = {0.0, 0.0};
  const std::size_t n = samples.size() / 2;
  PlaneMasses masses;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = samples[i], y = samples[n + i];
    masses.edge += within(x, y, middles);
    masses.centre += within(x, y, origin);
    masses.near += within(x, y, points);
    masses.outside += std::max(std::abs(x), std::abs(y)) > 1.5 ? 1.0 : 0.0;
  }
  const auto count = static_cast<double>(n);
  return {masses.edge / count, masses.centre / count, masses.near / count, masses.outside / count};
}

std::vector<double> bin_shares(std::span<const float> samples, const LineBins& bins) {
  std::vector<double> shares(static_cast<std::size_t>(bins.count), 0.0);
  double inside = 0.0;
  for (const float sample : samples)
    if (const std::int64_t bin = bin_of(sample, bins); bin >= 0) {
      shares[static_cast<std::size_t>(bin)] += 1.0;
      inside += 1.0;
    }
  require(inside > 0.0, "bin shares: none of {} samples is inside [{}, {})", samples.size(), bins.from, bins.to);
  for (double& share : shares) share /= inside;
  return shares;
}

std::vector<double> smoothed_shares(const PointSet& set, double alpha, double sigma, const LineBins& bins) {
  require(set.dimension() == 1 && sigma > 0.0, "smoothed shares: points of dimension {}, sigma {}", set.dimension(),
          sigma);
  std::vector<double> shares(static_cast<std::size_t>(bins.count), 0.0);
  double total = 0.0;
  for (std::size_t bin = 0; bin < shares.size(); ++bin) {
    const double low = bins.from + static_cast<double>(bin) * bins.width();
    for (const double point : set.points())
      shares[bin] += normal_distribution((low + bins.width() - alpha * point) / sigma) -
                     normal_distribution((low - alpha * point) / sigma);
    total += shares[bin];
  }
  for (double& share : shares) share /= total;
  return shares;
}

OverModels over_models(std::span<const double> values) {
  return {mean(values), standard_error(values)};
}

double total_variation(std::span<const double> p, std::span<const double> q) {
  check_sizes(p, q);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::abs(p[i] - q[i]);
  return 0.5 * sum;
}

double kullback_leibler(std::span<const double> p, std::span<const double> q, double floor) {
  check_sizes(p, q);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0.0) sum += p[i] * std::log(p[i] / std::max(q[i], floor));
  return sum;
}

double wasserstein(std::span<const double> p, std::span<const double> q, double width) {
  check_sizes(p, q);
  double cumulated = 0.0, sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::abs(cumulated += p[i] - q[i]);
  return sum * width;
}

OverModels total_variation_of_mean(std::span<const std::vector<double>> shares, std::span<const double> reference) {
  require(shares.size() > 1, "jackknife: {} models, expected at least 2", shares.size());
  const auto count = static_cast<double>(shares.size());
  std::vector<double> sum(reference.size(), 0.0), others(reference.size());
  for (const auto& model : shares) {
    check_sizes(model, reference);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += model[i];
  }
  std::vector<double> left_out;
  for (const auto& model : shares) {
    for (std::size_t i = 0; i < sum.size(); ++i) others[i] = (sum[i] - model[i]) / (count - 1.0);
    left_out.push_back(total_variation(others, reference));
  }
  for (double& entry : sum) entry /= count;
  return {total_variation(sum, reference), (count - 1.0) / std::sqrt(count) * std::sqrt(variance(left_out))};
}

double kolmogorov_smirnov(std::span<const float> a, std::span<const float> b) {
  require(!a.empty() && !b.empty(), "Kolmogorov-Smirnov: samples of {} and {}", a.size(), b.size());
  std::vector<float> first(a.begin(), a.end()), second(b.begin(), b.end());
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  double largest = 0.0;
  for (std::size_t i = 0, j = 0; i < first.size() && j < second.size();) {
    const float x = std::min(first[i], second[j]);
    while (i < first.size() && first[i] <= x) ++i;
    while (j < second.size() && second[j] <= x) ++j;
    largest = std::max(largest, std::abs(static_cast<double>(i) / static_cast<double>(first.size()) -
                                         static_cast<double>(j) / static_cast<double>(second.size())));
  }
  return largest;
}

double kolmogorov_smirnov_critical(std::int64_t n, std::int64_t m, double level) {
  return std::sqrt(-0.5 * std::log(0.5 * level) * (1.0 / static_cast<double>(n) + 1.0 / static_cast<double>(m)));
}

}  // namespace tweedie
