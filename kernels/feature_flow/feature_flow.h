#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

// Euler steps z <- keep_k z + mu_k(z), k = 0, 1, ..., of many points under a denoiser mu_k that is linear in crossed
// features of one or two coordinates, or that stands in a table: the inner loop of sampling from linear models.
// float32, vectorised over points; all steps of a point are made while it stays in registers. One thread.

/// Functions of one coordinate x.
///   gaussian: exp(-sharpness (u - a)^2), a = 0, ..., count - 1, u = (x - from) scale: bumps at from + a / scale;
///   fourier:  1, cos 2 pi n x scale (n = 1, ..., count - 1 - (count - 1)/2), sin 2 pi n x scale (n = 1, ..., (count -
///   1)/2).
struct FlowAxis {
  enum class Basis : std::uint8_t { gaussian, fourier };
  static constexpr std::int64_t most = 32;
  Basis basis = Basis::gaussian;
  std::int64_t count = 0;  // 1 to `most`
  float from = 0.0f, scale = 1.0f, sharpness = 2.0f;
};

/// mu_k(z) = sum_a coefficients[k][a] f_a(z). keep (K), coefficients (K, count); z (n) in place. For at most 16 bumps
/// of sharpness 2 only the nine nearest of them are summed; the others are below 3e-18 of their coefficient. flops:
/// about 55 a point and step then, otherwise 14 count. Throws Error where sizes do not fit, as do the others.
void flow_features(const FlowAxis& axis, std::span<const float> keep, std::span<const float> coefficients,
                   std::span<float> z);

/// The same in the plane: mu_k = sum_b g_b(y) sum_a coefficients[k][o][b][a] f_a(x), o = 0 for x and 1 for y.
/// coefficients (K, 2, count of y, count of x); x, y (n) in place. flops: about 4 count_x count_y a point and step.
void flow_features(const FlowAxis& x_axis, const FlowAxis& y_axis, std::span<const float> keep,
                   std::span<const float> coefficients, std::span<float> x, std::span<float> y);

/// An equidistant grid whose points are looked up by their nearest right neighbour, clipped.
struct FlowGrid {
  std::int64_t count = 0;
  float from = 0.0f, spacing = 1.0f;
};
/// mu_k(z) = table[k][i], i = ceil((z - from) / spacing) within [0, count - 1]. table (K, count).
void flow_table(const FlowGrid& grid, std::span<const float> keep, std::span<const float> table, std::span<float> z);
/// One step with the same grid on both coordinates: x <- keep x + table[0][j][i], y <- keep y + table[1][j][i], i the
/// index of x and j that of y. table (2, count, count).
void flow_table_step(const FlowGrid& grid, float keep, std::span<const float> table, std::span<float> x,
                     std::span<float> y);
/// table[o][j][i] = sum_b g[b][j] sum_a coefficients[o][b][a] f[a][i] for o = 0, 1. f (features of x, count), g
/// (features of y, count), coefficients (2, features of y, features of x), table (2, count, count).
void fill_flow_table(std::span<const float> f, std::span<const float> g, std::span<const float> coefficients,
                     std::int64_t count, std::span<float> table);

/// A step under the exact denoiser of points x_i on the line: z <- keep z + pull sum_i w_i x_i, w =
/// softmax_i(-precision (z
/// - alpha x_i)^2), precision = 1/(2 sigma^2).
struct PointStep {
  float keep = 1.0f, pull = 0.0f, alpha = 1.0f, precision = 1.0f;
};
void flow_points(std::span<const float> points, std::span<const PointStep> steps, std::span<float> z);

/// The functions of an axis at x, in double: what the vector code is tested against.
std::vector<double> axis_values(const FlowAxis& axis, double x);

}  // namespace tweedie
