#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/tensor.h"
#include "diffusion/data/image_set.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// Independent draws of images from the posterior over a finite set given a noised state: image i with probability
/// w_i = softmax_i(-|z - alpha x_i|^2 / (2 sigma^2)), the weights of the empirical score.
///
/// Log weights come from one float32 matrix product about the mean image; where its rounding could move one by more
/// than 1e-4, those within 40 nats of the largest are formed again in double from differences. Holds the set twice in
/// float32 and needs memory of (points x images) during a call.
class PosteriorSampler {
 public:
  explicit PosteriorSampler(const data::ImageSet& images, Device device = {});

  /// points (B, d); alpha, sigma (B), sigma > 0; streams (B): the random stream of each point, whose draw k is named by
  /// (key, stream, k). labels (B), or empty: a point sees the images of its label only (-1: all). Returns indices
  /// (B, draws). Throws Error for sizes that do not fit and for labels without images.
  std::vector<std::int64_t> draw(std::span<const float> points, std::span<const double> alpha,
                                 std::span<const double> sigma, std::span<const std::int64_t> streams,
                                 std::int64_t draws, const RandomKey& key,
                                 std::span<const std::int64_t> labels = {}) const;
  /// Means (B, d) of the images drawn, in double.
  std::vector<double> means(std::span<const std::int64_t> indices, std::int64_t draws) const;

  std::int64_t count() const { return count_; }
  std::int64_t dimension() const { return dimension_; }

 private:
  struct Row;
  void choose(const Row& row, std::span<std::int64_t> chosen) const;
  std::span<const float> image(std::int64_t index) const;

  std::int64_t count_, dimension_;
  Device device_;
  std::vector<float> pixels_;          // (n, d)
  std::vector<double> centre_;         // (d)
  Tensor centred_;                     // (n, d): x - centre
  std::vector<double> squared_norms_;  // (n): |x - centre|^2
  double largest_norm_ = 0.0;
  std::vector<std::int64_t> labels_;
};

}  // namespace tweedie
