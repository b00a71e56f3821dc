#include "diffusion/posterior_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/linear.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {
namespace {

constexpr double margin = 40.0;              // nats below the largest: e^-40 of the weight is never drawn
constexpr double tolerated_rounding = 1e-4;  // of a log weight
constexpr double float_epsilon = 0x1p-24;

}  // namespace

/// One point, as `choose` sees it.
struct PosteriorSampler::Row {
  std::span<const float> point;     // (d)
  std::span<const float> products;  // (n): of point - alpha centre with each x - centre
  double alpha, sigma;
  double norm;  // of point - alpha centre
  std::int64_t label;
  RandomKey key;
  std::uint32_t stream;
};

PosteriorSampler::PosteriorSampler(const data::ImageSet& images, Device device)
    : count_(images.count),
      dimension_(images.dimension()),
      device_(device),
      pixels_(images.to_float()),
      centre_(static_cast<std::size_t>(dimension_)),
      labels_(images.labels) {
  require(count_ >= 1, "posterior sampler: the data set is empty");
  const auto d = static_cast<std::size_t>(dimension_);
  for (std::size_t i = 0; i < pixels_.size(); ++i) centre_[i % d] += pixels_[i] / static_cast<double>(count_);
  std::vector<float> centred(pixels_.size());
  for (std::int64_t n = 0; n < count_; ++n) {
    double sum = 0.0;
    for (std::size_t j = 0; j < d; ++j) {
      const std::size_t at = static_cast<std::size_t>(n) * d + j;
      centred[at] = static_cast<float>(pixels_[at] - centre_[j]);
      sum += static_cast<double>(centred[at]) * centred[at];
    }
    squared_norms_.push_back(sum);
    largest_norm_ = std::max(largest_norm_, std::sqrt(sum));
  }
  centred_ = Tensor::from_host(std::span<const float>(centred), {count_, dimension_}, device);
}

std::span<const float> PosteriorSampler::image(std::int64_t index) const {
  const auto d = static_cast<std::size_t>(dimension_);
  return std::span(pixels_).subspan(static_cast<std::size_t>(index) * d, d);
}

void PosteriorSampler::choose(const Row& row, std::span<std::int64_t> chosen) const {
  const double rate = row.alpha / (row.sigma * row.sigma);
  const double rounding = rate * float_epsilon * row.norm * largest_norm_;  // times sqrt(d) as is usual, d at most
  const auto d = static_cast<double>(dimension_);
  const bool exact = rounding * std::sqrt(d) > tolerated_rounding;
  const double cut = margin + (exact ? 2.0 * (d + 8.0) * rounding : 0.0);

  std::vector<double> logs(static_cast<std::size_t>(count_), -std::numeric_limits<double>::infinity());
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < logs.size(); ++i) {
    if (row.label >= 0 && labels_[i] != row.label) continue;
    logs[i] = rate * (row.products[i] - 0.5 * row.alpha * squared_norms_[i]);
    largest = std::max(largest, logs[i]);
  }
  require(std::isfinite(largest), "posterior sampler: no image has label {}", row.label);

  std::vector<std::int64_t> candidates;
  std::vector<double> weights;
  for (std::size_t i = 0; i < logs.size(); ++i)
    if (logs[i] >= largest - cut) {
      candidates.push_back(static_cast<std::int64_t>(i));
      weights.push_back(logs[i]);
    }
  if (exact) {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const std::span<const float> x = image(candidates[c]);
      double squares = 0.0;
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double difference = row.point[j] - row.alpha * x[j];
        squares += difference * difference;
      }
      weights[c] = -squares / (2.0 * row.sigma * row.sigma);
    }
    largest = *std::max_element(weights.begin(), weights.end());
  }
  double total = 0.0;
  for (double& weight : weights) weight = total += std::exp(weight - largest);
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    const double u = uniform(row.key, row.stream, static_cast<std::uint32_t>(k));
    const auto found = std::upper_bound(weights.begin(), weights.end(), u * total);
    const auto place = std::min(found - weights.begin(), static_cast<std::ptrdiff_t>(weights.size()) - 1);
    chosen[k] = candidates[static_cast<std::size_t>(place)];
  }
}

std::vector<std::int64_t> PosteriorSampler::draw(std::span<const float> points, std::span<const double> alpha,
                                                 std::span<const double> sigma, std::span<const std::int64_t> streams,
                                                 std::int64_t draws, const RandomKey& key,
                                                 std::span<const std::int64_t> labels) const {
  const std::size_t n = alpha.size();
  const auto d = static_cast<std::size_t>(dimension_);
  require(points.size() == n * d && sigma.size() == n && streams.size() == n && (labels.empty() || labels.size() == n),
          "posterior sampler: {} values, {} alphas, {} sigmas, {} streams and {} labels; expected one of each, and {} "
          "values, a point",
          points.size(), n, sigma.size(), streams.size(), labels.size(), d);
  require(draws >= 1, "posterior sampler: {} draws", draws);
  require(labels.empty() || !labels_.empty(), "posterior sampler: labels for data without labels");
  std::vector<std::int64_t> chosen(n * static_cast<std::size_t>(draws));
  if (n == 0) return chosen;

  std::vector<float> centred(points.size());
  std::vector<double> norms(n);
  for (std::size_t row = 0; row < n; ++row) {
    require(sigma[row] > 0.0, "posterior sampler: sigma = {}, expected above 0", sigma[row]);
    for (std::size_t j = 0; j < d; ++j) {
      centred[row * d + j] = static_cast<float>(points[row * d + j] - alpha[row] * centre_[j]);
      norms[row] += static_cast<double>(centred[row * d + j]) * centred[row * d + j];
    }
    norms[row] = std::sqrt(norms[row]);
  }
  const NoGrad guard;
  const Tensor rows =
      Tensor::from_host(std::span<const float>(centred), {static_cast<std::int64_t>(n), dimension_}, device_);
  const std::vector<float> products = matmul(rows, centred_, false, true).to_host();
  parallel_for(static_cast<std::int64_t>(n), 1, [&](std::int64_t first, std::int64_t last) {
    for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row)
      choose({.point = points.subspan(row * d, d),
              .products =
                  std::span(products).subspan(row * static_cast<std::size_t>(count_), static_cast<std::size_t>(count_)),
              .alpha = alpha[row],
              .sigma = sigma[row],
              .norm = norms[row],
              .label = labels.empty() ? -1 : labels[row],
              .key = key,
              .stream = static_cast<std::uint32_t>(streams[row])},
             std::span(chosen).subspan(row * static_cast<std::size_t>(draws), static_cast<std::size_t>(draws)));
  });
  return chosen;
}

std::vector<double> PosteriorSampler::means(std::span<const std::int64_t> indices, std::int64_t draws) const {
  const auto d = static_cast<std::size_t>(dimension_);
  const auto each = static_cast<std::size_t>(draws);
  std::vector<double> means(indices.size() / each * d);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::span<const float> x = image(indices[i]);
    for (std::size_t j = 0; j < d; ++j) means[i / each * d + j] += x[j] / static_cast<double>(draws);
  }
  return means;
}

}  // namespace tweedie
