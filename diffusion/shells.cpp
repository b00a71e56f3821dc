#include "diffusion/shells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "diffusion/empirical_score.h"
#include "diffusion/statistics.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

double distance_between(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double difference = static_cast<double>(a[j]) - b[j];
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

/// The closest pair: each image's nearest other, from the streaming engine.
double smallest_distance(const data::ImageSet& images) {
  const EmpiricalScore engine(images);
  const auto d = static_cast<std::size_t>(images.dimension());
  double smallest = std::numeric_limits<double>::infinity();
  constexpr std::int64_t piece = 256;
  std::vector<float> points(static_cast<std::size_t>(piece) * d);
  for (std::int64_t first = 0; first < images.count; first += piece) {
    const std::int64_t rows = std::min(piece, images.count - first);
    std::vector<std::int64_t> own;
    for (std::int64_t row = 0; row < rows; ++row) {
      own.push_back(first + row);
      images.copy_float(first + row, std::span(points).subspan(static_cast<std::size_t>(row) * d, d));
    }
    const std::vector<float> ones(static_cast<std::size_t>(rows), 1.0f);
    EmpiricalOptions options;
    options.excluded = own;
    options.posterior = false;
    const EmpiricalResult result =
        engine.evaluate(std::span(points).first(static_cast<std::size_t>(rows) * d), ones, ones, options);
    for (const double distance : result.nearest_distance) smallest = std::min(smallest, distance);
  }
  return smallest;
}

}  // namespace

double shell_half_width(std::int64_t dimension, double delta) {
  require(dimension > 0 && delta > 0.0 && delta < 1.0, "shell width: dimension {} and delta {}", dimension, delta);
  return std::sqrt(2.0 * std::log(2.0 / delta) / static_cast<double>(dimension));
}

PairDistances::PairDistances(const data::ImageSet& images, std::uint64_t seed, std::int64_t most_pairs) {
  require(images.count >= 2, "pair distances: at least two images are needed");
  const auto d = static_cast<std::size_t>(images.dimension());
  std::vector<float> a(d), b(d);
  const std::int64_t pairs = images.count * (images.count - 1) / 2;
  const auto note = [&](std::int64_t i, std::int64_t j) {
    images.copy_float(i, a);
    images.copy_float(j, b);
    sorted_.push_back(distance_between(a, b));
  };
  if (pairs <= most_pairs) {
    for (std::int64_t i = 0; i < images.count; ++i)
      for (std::int64_t j = i + 1; j < images.count; ++j) note(i, j);
  } else {
    const RandomKey key{.seed = seed, .purpose = Purpose::subset, .step = 1};
    for (std::int64_t k = 0; k < most_pairs; ++k) {
      const auto stream = static_cast<std::uint32_t>(k);
      const std::int64_t i = uniform_integer(key, stream, images.count, 0);
      const std::int64_t other = uniform_integer(key, stream, images.count - 1, 1);
      note(i, other < i ? other : other + 1);
    }
  }
  std::sort(sorted_.begin(), sorted_.end());
  smallest_ = pairs <= most_pairs ? sorted_.front() : smallest_distance(images);
}

double PairDistances::quantile(double p) const {
  return tweedie::quantile(sorted_, p);
}

double shell_overlap(const Process& process, double t, double distance) {
  const double alpha = process.alpha(t), sigma = process.sigma(t);
  if (alpha * distance == 0.0) return 1.0;
  if (sigma == 0.0) return 0.0;
  const double ratio = alpha * distance / sigma;
  return std::exp(-ratio * ratio / 8.0);
}

}  // namespace tweedie
