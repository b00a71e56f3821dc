#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// The closed-form score of a finite data set. For a point z with its own alpha >= 0 and sigma > 0,
//   w_i = softmax_i(-|z - alpha x_i|^2 / (2 sigma^2)),   x0 = sum_i w_i x_i,   score = (alpha x0 - z) / sigma^2,
// the gradient of the log density of the mixture of N(alpha x_i, sigma^2 I) (Vincent 2011; Karras et al. 2022, eq. 57).
//
// data (n, d): uint8 v stands for x = v / 127.5 - 1, float32 (float64 on reference) for itself. With `mirrored` set,
// rows are images of these extents, channels last, and the set also holds each image flipped left to right; the flipped
// image of row i is known by index n + i.

/// The extents of the images that rows of data are; all zero: rows are plain vectors.
struct ImageExtents {
  std::int64_t height = 0, width = 0, channels = 0;
  explicit operator bool() const { return height > 0 && width > 0 && channels > 0; }
  std::int64_t count() const { return height * width * channels; }
};

/// What every evaluation on a data set reuses: centre (d) float64, a point near the mean in the units that data is
/// stored in (v of uint8), chosen so that v - centre is exact in float32 for uint8 data; squared_norms (n) float64,
/// |x_i - x(centre)|^2. Throws Error at a value that is not finite.
/// bytes: data twice (norms about a mean wait for all of it), centre and squared_norms; flops: 4 n d.
struct PrepareEmpiricalData {
  Array data, centre, squared_norms;
  ImageExtents mirrored;
};
void validate(const PrepareEmpiricalData& arguments);
double flops(const PrepareEmpiricalData& arguments);
double bytes_moved(const PrepareEmpiricalData& arguments);
extern Operation<PrepareEmpiricalData> prepare_empirical_data;

/// points (B, d); alpha, sigma (B); labels (n) int64 and point_labels (B) int64, both or neither: a point sees the data
/// of its label only, all of them where its label is -1; excluded (B) int64, optional: a row of data left out together
/// with its mirror image, -1 for none (leave-one-out). Throws Error where alpha, sigma or a point is out of range or
/// not finite, and where a point has no data left.
///
/// Outputs, each optional, float32 or float64 (indices int64):
///   x0, score (B, d): the score is formed in double and then rounded;
///   neighbours, neighbour_distances (B, k): the k indices of smallest |z - alpha x_i|, nearest first, the lowest index
///     first among equals, and these distances; where fewer than k exist, -1 and infinity. k = 1 is the nearest.
///   entropy (B): -sum w log w, in nats; effective_count = exp(entropy);
///   covariance_trace: tr C = (alpha^2 / sigma^4) sum_i w_i |x_i - x0|^2, the trace of the proxy score's covariance;
///   r_star, r_star_index: the r_i = |z - alpha x_i| / (sigma sqrt(d)) closest to 1 and its index;
///   log_sum: log sum_i exp(-|z - alpha x_i|^2 / (2 sigma^2)).
///
/// Exact means: what a double-precision evaluation gives, to 1e-5 of x0's norm and 2e-5 of the score's, at every sigma.
/// Working memory grows with B and a tile of 2048 rows of data at most, never with B n; on cuda not with B either: a
/// tile's products are of 256 points at most and stay in the second-level cache.
/// bytes: data, points and outputs once; flops: 4 B n d, n with mirror images (two matrix products).
struct EvaluateEmpiricalScore {
  Array data, centre, squared_norms, labels;
  Array points, alpha, sigma, point_labels, excluded;
  Array x0, score, neighbours, neighbour_distances;
  Array entropy, effective_count, covariance_trace, r_star, r_star_index, log_sum;
  ImageExtents mirrored;
};
void validate(const EvaluateEmpiricalScore& arguments);
double flops(const EvaluateEmpiricalScore& arguments);
double bytes_moved(const EvaluateEmpiricalScore& arguments);
extern Operation<EvaluateEmpiricalScore> evaluate_empirical_score;

}  // namespace tweedie
