#include "diffusion/batch_target.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/parallel.h"

namespace tweedie {

BatchTarget::BatchTarget(const data::ImageSet& images, std::int64_t points, bool with_generating)
    : count_(images.count),
      dimension_(images.dimension()),
      points_(points),
      with_generating_(with_generating),
      pixels_(images.to_float()) {
  require(count_ >= 1, "batch target: the data set is empty");
  if (points < 1) throw UsageError(fmt::format("batch target: over {} images, expected one or more", points));
}

Tensor BatchTarget::target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const {
  const std::vector<float> z = draw.z.to_host();
  const std::size_t n = draw.t_told.size(), d = static_cast<std::size_t>(dimension_);
  require(z.size() == n * d, "batch target: states of {} numbers, images of {}", z.size() / std::max<std::size_t>(n, 1),
          d);
  std::vector<std::int64_t> shared;  // named by the step alone, so that a batch passed in pieces sees the same ones
  for (std::int64_t i = with_generating_ ? 1 : 0; i < points_; ++i)
    shared.push_back(uniform_integer(draw.target_key, static_cast<std::uint32_t>(i), count_));
  std::vector<double> clean(z.size());
  parallel_for(static_cast<std::int64_t>(n), 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> weights;
    for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
      const double alpha = process.alpha(draw.t_told[row]), sigma = process.sigma(draw.t_told[row]);
      std::vector<std::int64_t> set = shared;
      if (with_generating_) set.push_back(draw.source[row]);
      weights.clear();
      for (const std::int64_t index : set) {
        const float* x = &pixels_[static_cast<std::size_t>(index) * d];
        double squares = 0.0;
        for (std::size_t j = 0; j < d; ++j) {
          const double difference = z[row * d + j] - alpha * x[j];
          squares += difference * difference;
        }
        weights.push_back(-squares / (2.0 * sigma * sigma));
      }
      const double largest = *std::max_element(weights.begin(), weights.end());
      double total = 0.0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (std::size_t i = 0; i < set.size(); ++i) {
        const float* x = &pixels_[static_cast<std::size_t>(set[i]) * d];
        const double share = weights[i] / total;
        if (share > 0.0)
          for (std::size_t j = 0; j < d; ++j) clean[row * d + j] += share * x[j];
      }
    }
  });
  return target_of_clean(draw, clean, process, parameterisation);
}

}  // namespace tweedie
