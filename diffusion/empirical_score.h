#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/tensor.h"
#include "diffusion/data/image_set.h"

namespace tweedie {

/// One row a point. See kernels/empirical_score for the definitions.
struct EmpiricalResult {
  std::vector<float> x0, score;          // (B, d)
  std::vector<std::int64_t> nearest;     // (B): index of the nearest alpha x_i, the lowest among equals
  std::vector<double> nearest_distance;  // (B): |z - alpha x_i|
  std::vector<double> entropy, effective_count, trace_cov, r_star, log_sum;  // (B)
  std::int64_t neighbours_each = 0;
  std::vector<std::int64_t> neighbours;     // (B, k), nearest first
  std::vector<double> neighbour_distances;  // (B, k)
};

struct EmpiricalOptions {
  std::int64_t neighbours = 1;             // k
  std::span<const std::int64_t> labels;    // (B), or empty: see only the data of this label (-1: all)
  std::span<const std::int64_t> excluded;  // (B), or empty: an image left out for each point (-1: none)
  bool posterior = true;                   // false: only the neighbours, which is faster; the rest stays empty
};

/// The closed-form score of a finite set of images: exact at every noise level, streaming over the set, in memory that
/// grows with the points alone. What all points share (centre, norms) is computed once, when this is made.
class EmpiricalScore {
 public:
  /// `mirrored`: the set also holds each image flipped left to right (index count + i).
  explicit EmpiricalScore(const data::ImageSet& images, Device device = {}, bool mirrored = false);

  /// points (B, d); alpha >= 0 and sigma > 0, one a point. Throws Error for sizes that do not fit, values that are not
  /// finite, labels on unlabelled data.
  EmpiricalResult evaluate(std::span<const float> points, std::span<const float> alpha, std::span<const float> sigma,
                           const EmpiricalOptions& options = {}) const;

  std::int64_t count() const { return images_.count; }
  std::int64_t dimension() const { return images_.dimension(); }
  const data::ImageSet& images() const { return images_; }
  Device device() const { return pixels_.device(); }

 private:
  data::ImageSet images_;
  bool mirrored_;
  Tensor pixels_, centre_, squared_norms_, labels_;
};

}  // namespace tweedie
