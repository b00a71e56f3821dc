#pragma once

#include <cstdint>

namespace tweedie::empirical {

// The vectorised loops of the CPU implementation. A row of a tile holds, for one point, h_i = q . y_i - alpha/2 |y_i|^2
// of each of the tile's data (tile units, see StoredData), less an offset, so that |z - alpha x_i|^2 = |q|^2 - 2 alpha
// h_i: a larger h is a nearer datum.

/// y[j] = (x[j] - centre[j]) * scale; exact where x - centre is and scale is a power of two.
void centre_row(const std::uint8_t* x, const float* centre, float scale, float* y, std::int64_t count);
void centre_row(const float* x, const float* centre, float scale, float* y, std::int64_t count);

/// sum_j (origin[j] - step x[j])^2 in double.
double squared_distance(const std::uint8_t* x, const double* origin, double step, std::int64_t count);
double squared_distance(const float* x, const double* origin, double step, std::int64_t count);

/// difference[j] = x[j] - reference[j]; moment[j] += weight * difference[j]; returns sum_j difference[j]^2.
double add_difference(const std::uint8_t* x, const double* reference, double weight, double* moment,
                      std::int64_t count);
double add_difference(const float* x, const double* reference, double weight, double* moment, std::int64_t count);

/// sum[j] = sum[j] factor + addend[j] addend_factor
void scale_and_add(double* sum, double factor, const float* addend, double addend_factor, std::int64_t count);

/// h[i] = products[i] - half_alpha squared_norms[i] - offset
void finish_row(const float* products, const float* squared_norms, float half_alpha, float offset, float* h,
                std::int64_t count);

struct RowRange {
  float largest;  // of all h
  float below;    // the largest h <= target, lowest() where there is none
  float above;    // the smallest h > target, max() where there is none
};
RowRange range_of_row(const float* h, float target, std::int64_t count);

std::int64_t count_within(const float* values, float low, float high, std::int64_t count);  // low <= value <= high
/// Writes the positions of the values with low <= value <= high, ascending; returns how many.
std::int64_t positions_within(const float* values, float low, float high, std::int64_t count, std::int32_t* positions);

/// p[i] = exp(rate (h[i] - reference)), 0 below 1e-35; returns their sum.
float weights_of_row(const float* h, float reference, float rate, float* p, std::int64_t count);
/// The sum of the values that are at most `limit`.
float sum_up_to(const float* values, float limit, std::int64_t count);

struct RowMoments {
  double weight;        // sum of p
  double log_weight;    // sum of p rate (h - reference)
  double squared_norm;  // sum of p |y|^2
};
/// Sums over the p that are at most `limit`, which are written over h (0 for the others).
RowMoments take_weights(const float* p, float limit, float* h, float reference, float rate, const float* squared_norms,
                        std::int64_t count);

}  // namespace tweedie::empirical
