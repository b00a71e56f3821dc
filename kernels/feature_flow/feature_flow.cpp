#include "kernels/feature_flow/feature_flow.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/feature_flow/feature_flow.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/error.h"

#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

using Floats = hn::Vec<FloatTag>;
using Integers = hn::Vec<hn::RebindToSigned<FloatTag>>;

/// How many vectors of points are moved together where a step is one chain of dependent operations.
constexpr int together = 4;

/// Calls body(point) for all n points, point[c][v] being vector v of coordinate c; what is left over goes through a
/// buffer.
template <int coordinates, int vectors, class Body>
HWY_INLINE void over_points(float* const (&z)[coordinates], std::int64_t n, Body&& body) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t whole = n / (vectors * lanes) * vectors * lanes;
  HWY_ALIGN float rest[coordinates][vectors * HWY_LANES(float)] = {};
  for (std::int64_t i = 0; i < n; i += vectors * lanes) {
    float* place[coordinates];
    for (int c = 0; c < coordinates; ++c) {
      place[c] = i < whole ? z[c] + i : rest[c];
      if (i == whole) std::copy(z[c] + whole, z[c] + n, rest[c]);
    }
    Floats point[coordinates][vectors];
#pragma GCC unroll 2
    for (int c = 0; c < coordinates; ++c)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) point[c][v] = hn::LoadU(d, place[c] + v * lanes);
    body(point);
#pragma GCC unroll 2
    for (int c = 0; c < coordinates; ++c)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) hn::StoreU(point[c][v], d, place[c] + v * lanes);
    for (int c = 0; c < coordinates && i == whole; ++c) std::copy(rest[c], rest[c] + (n - whole), z[c] + whole);
  }
}

/// The rows of nine neighbouring bumps: coefficient j of a step is at [j + window_shift] of 32 floats, 0 outside.
constexpr std::int32_t window = 32, window_shift = 8, radius = 4;

HWY_INLINE Floats look_up(const float* row, Integers index) {
  const FloatTag d;
  if constexpr (HWY_LANES(float) == 16) {  // all coefficients fit into one register
    const hn::RebindToUnsigned<FloatTag> du;
    const auto own = hn::BitCast(du, hn::Sub(index, hn::Set(hn::RebindToSigned<FloatTag>(), window_shift)));
    const auto inside = hn::RebindMask(d, hn::Lt(own, hn::Set(du, 16u)));
    const auto lane = hn::IndicesFromVec(d, hn::And(own, hn::Set(du, 15u)));
    return hn::IfThenElseZero(inside, hn::TableLookupLanes(hn::LoadU(d, row + window_shift), lane));
  } else {
    return hn::GatherIndex(d, row, index);
  }
}

/// sum_j c_{m+j} exp(-2 (delta - j)^2), |j| <= 4, with m the bump nearest to u and delta = u - m: the factor
/// exp(-2 delta^2) times a polynomial in exp(4 delta) and one in its reciprocal.
HWY_INLINE Floats nearest_bumps(Floats u, std::int64_t count, const float* row) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  constexpr float weights[] = {1.0f, 0.135335283f, 3.35462628e-4f, 1.52299797e-8f, 1.26641655e-14f};  // exp(-2 j^2)
  const auto half = hn::Set(d, 0.5f);
  // Beyond the last bump's reach the window holds no coefficient.
  const auto m = hn::Min(hn::Max(hn::Round(u), hn::Set(d, -4.0f)), hn::Set(d, static_cast<float>(count + 3)));
  const auto delta = hn::Min(hn::Max(hn::Sub(u, m), hn::Neg(half)), half);
  const auto rise = exp_within(d, hn::Mul(hn::Set(d, 4.0f), delta));
  const auto fall = reciprocal(d, rise);
  const auto centre = hn::Add(hn::ConvertTo(di, m), hn::Set(di, window_shift));
  auto above = hn::Zero(d), below = hn::Zero(d);
#pragma GCC unroll 4
  for (std::int32_t j = radius; j > 0; --j) {
    const auto weight = hn::Set(d, weights[j]);
    above = hn::Mul(rise, hn::MulAdd(weight, look_up(row, hn::Add(centre, hn::Set(di, j))), above));
    below = hn::Mul(fall, hn::MulAdd(weight, look_up(row, hn::Sub(centre, hn::Set(di, j))), below));
  }
  const auto common = exp_within(d, hn::Mul(hn::Mul(hn::Set(d, -2.0f), delta), delta));
  return hn::Mul(common, hn::Add(look_up(row, centre), hn::Add(above, below)));
}

void flow_bumps(std::int64_t count, float from, float scale, const float* keep, std::int64_t steps, const float* rows,
                float* z, std::int64_t n) {
  const FloatTag d;
  over_points<1, together>({z}, n, [&](Floats(&point)[1][together]) {
    for (std::int64_t k = 0; k < steps; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < together; ++v) {
        const auto u = hn::Mul(hn::Sub(point[0][v], hn::Set(d, from)), hn::Set(d, scale));
        point[0][v] = hn::MulAdd(hn::Set(d, keep[k]), point[0][v], nearest_bumps(u, count, rows + k * window));
      }
    }
  });
}

/// cos and sin of 2 pi r: a quarter of the angle, pi/2 x with |x| <= 1/2, by minimax polynomials sin(pi/2 x) = x
/// (half_pi + sin0 + sin1 x^2 + ...) and cos(pi/2 x) = 1 + x^2 (cos0 + cos1 x^2 + ...), then doubled twice. Error about
/// 5e-7.
HWY_INLINE void turn(Floats r, Floats& cosine, Floats& sine) {
  constexpr float half_pi = 1.57079637f;
  constexpr float sin_terms[4] = {-4.87979896e-08f, -0.64596349f, 0.0796803609f, -0.00460251188f};
  constexpr float cos_terms[4] = {-1.23370051f, 0.253668547f, -0.0208555926f, 0.000894459197f};
  const FloatTag d;
  const auto x = hn::Sub(r, hn::Round(r));
  const auto square = hn::Mul(x, x);
  auto s = hn::Set(d, sin_terms[3]), c = hn::Set(d, cos_terms[3]);
  for (int i = 2; i >= 0; --i) {
    s = hn::MulAdd(s, square, hn::Set(d, sin_terms[i]));
    c = hn::MulAdd(c, square, hn::Set(d, cos_terms[i]));
  }
  sine = hn::MulAdd(x, hn::Set(d, half_pi), hn::Mul(x, s));
  cosine = hn::MulAdd(c, square, hn::Set(d, 1.0f));
  for (int i = 0; i < 2; ++i) {
    const auto doubled = hn::Add(sine, sine);
    const auto new_cosine = hn::NegMulAdd(doubled, sine, hn::Set(d, 1.0f));
    sine = hn::Mul(doubled, cosine);
    cosine = new_cosine;
  }
}

HWY_INLINE void basis(const FlowAxis& axis, Floats x, Floats* values) {
  const FloatTag d;
  if (axis.basis == FlowAxis::Basis::gaussian) {
    const auto u = hn::Mul(hn::Sub(x, hn::Set(d, axis.from)), hn::Set(d, axis.scale));
    for (std::int64_t a = 0; a < axis.count; ++a) {
      const auto distance = hn::Sub(u, hn::Set(d, static_cast<float>(a)));
      const auto exponent = hn::Mul(hn::Mul(hn::Set(d, -axis.sharpness), distance), distance);
      // A floor of 4e-18 changes nothing, and keeps slow subnormal numbers out of the products.
      values[a] = exp_within(d, hn::Max(exponent, hn::Set(d, -40.0f)));
    }
    return;
  }
  Floats cosine, sine;
  turn(hn::Mul(x, hn::Set(d, axis.scale)), cosine, sine);
  const std::int64_t sines = (axis.count - 1) / 2, cosines = axis.count - 1 - sines;
  values[0] = hn::Set(d, 1.0f);
  auto c = cosine, s = sine;
  for (std::int64_t a = 0; a < cosines; ++a) {
    values[1 + a] = c;
    if (a < sines) values[1 + cosines + a] = s;
    const auto next = hn::NegMulAdd(s, sine, hn::Mul(c, cosine));
    s = hn::MulAdd(s, cosine, hn::Mul(c, sine));
    c = next;
  }
}

void flow_1d(const FlowAxis& axis, const float* keep, std::int64_t steps, const float* coefficients, float* z,
             std::int64_t n) {
  const FloatTag d;
  over_points<1, 1>({z}, n, [&](Floats(&point)[1][1]) {
    Floats values[FlowAxis::most];
    for (std::int64_t k = 0; k < steps; ++k) {
      basis(axis, point[0][0], values);
      auto sum = hn::Mul(hn::Set(d, keep[k]), point[0][0]);
      for (std::int64_t a = 0; a < axis.count; ++a)
        sum = hn::MulAdd(hn::Set(d, coefficients[k * axis.count + a]), values[a], sum);
      point[0][0] = sum;
    }
  });
}

void flow_2d(const FlowAxis& x_axis, const FlowAxis& y_axis, const float* keep, std::int64_t steps,
             const float* coefficients, float* x, float* y, std::int64_t n) {
  const FloatTag d;
  const std::int64_t plane = x_axis.count * y_axis.count;
  over_points<2, 1>({x, y}, n, [&](Floats(&point)[2][1]) {
    Floats f[FlowAxis::most], g[FlowAxis::most];
    for (std::int64_t k = 0; k < steps; ++k) {
      basis(x_axis, point[0][0], f);
      basis(y_axis, point[1][0], g);
      const float* first = coefficients + 2 * k * plane;
      const float* second = first + plane;
      auto sum_x = hn::Mul(hn::Set(d, keep[k]), point[0][0]), sum_y = hn::Mul(hn::Set(d, keep[k]), point[1][0]);
      for (std::int64_t b = 0; b < y_axis.count; ++b) {
        auto along_x = hn::Zero(d), along_y = hn::Zero(d);
        for (std::int64_t a = 0; a < x_axis.count; ++a) {
          along_x = hn::MulAdd(hn::Set(d, *first++), f[a], along_x);
          along_y = hn::MulAdd(hn::Set(d, *second++), f[a], along_y);
        }
        sum_x = hn::MulAdd(along_x, g[b], sum_x);
        sum_y = hn::MulAdd(along_y, g[b], sum_y);
      }
      point[0][0] = sum_x;
      point[1][0] = sum_y;
    }
  });
}

HWY_INLINE Integers right_neighbour(const FlowGrid& grid, Floats z) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const auto place = hn::Mul(hn::Sub(z, hn::Set(d, grid.from)), hn::Set(d, 1.0f / grid.spacing));
  const auto last = hn::Set(d, static_cast<float>(grid.count - 1));
  return hn::ConvertTo(di, hn::Min(hn::Max(hn::Ceil(place), hn::Zero(d)), last));
}

void flow_table_1d(const FlowGrid& grid, const float* keep, std::int64_t steps, const float* table, float* z,
                   std::int64_t n) {
  const FloatTag d;
  over_points<1, together>({z}, n, [&](Floats(&point)[1][together]) {
    for (std::int64_t k = 0; k < steps; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < together; ++v) {
        const auto value = hn::GatherIndex(d, table + k * grid.count, right_neighbour(grid, point[0][v]));
        point[0][v] = hn::MulAdd(hn::Set(d, keep[k]), point[0][v], value);
      }
    }
  });
}

void flow_points_1d(const float* points, std::int64_t count, const PointStep* steps, std::int64_t step_count, float* z,
                    std::int64_t n) {
  const FloatTag d;
  over_points<1, 1>({z}, n, [&](Floats(&point)[1][1]) {
    auto& [x] = point[0];
    for (std::int64_t k = 0; k < step_count; ++k) {
      const auto distance_to = [&](std::int64_t i) {
        return hn::Abs(hn::Sub(x, hn::Set(d, steps[k].alpha * points[i])));
      };
      auto nearest = distance_to(0);
      for (std::int64_t i = 1; i < count; ++i) nearest = hn::Min(nearest, distance_to(i));
      auto total = hn::Zero(d), moment = hn::Zero(d);
      for (std::int64_t i = 0; i < count; ++i) {
        // nearest^2 - distance^2 as a product: no digits are lost where both are large
        const auto distance = distance_to(i);
        const auto exponent =
            hn::Mul(hn::Mul(hn::Sub(nearest, distance), hn::Add(nearest, distance)), hn::Set(d, steps[k].precision));
        const auto weight = exp_within(d, hn::Max(exponent, hn::Set(d, -40.0f)));
        total = hn::Add(total, weight);
        moment = hn::MulAdd(weight, hn::Set(d, points[i]), moment);
      }
      const auto mean = hn::Div(moment, total);
      x = hn::MulAdd(hn::Set(d, steps[k].keep), x, hn::Mul(hn::Set(d, steps[k].pull), mean));
    }
  });
}

void table_step_2d(const FlowGrid& grid, float keep, const float* table, float* x, float* y, std::int64_t n) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  over_points<2, 1>({x, y}, n, [&](Floats(&point)[2][1]) {
    auto& [px] = point[0];
    auto& [py] = point[1];
    const auto row = hn::Mul(right_neighbour(grid, py), hn::Set(di, static_cast<std::int32_t>(grid.count)));
    const auto index = hn::Add(row, right_neighbour(grid, px));
    px = hn::MulAdd(hn::Set(d, keep), px, hn::GatherIndex(d, table, index));
    py = hn::MulAdd(hn::Set(d, keep), py, hn::GatherIndex(d, table + grid.count * grid.count, index));
  });
}

/// out[i] = factor * in[i] (+ out[i]).
HWY_INLINE void take(float factor, const float* in, bool add, float* out, std::int64_t count) {
  map_vectors(count, out, [&](auto d, std::int64_t i) {
    const auto product = hn::Mul(hn::Set(d, factor), hn::LoadU(d, in + i));
    return add ? hn::Add(product, hn::LoadU(d, out + i)) : product;
  });
}

void fill_table_2d(const float* f, std::int64_t f_count, const float* g, std::int64_t g_count,
                   const float* coefficients, std::int64_t count, float* along, float* table) {
  for (std::int64_t output = 0; output < 2; ++output) {
    for (std::int64_t b = 0; b < g_count; ++b)
      for (std::int64_t a = 0; a < f_count; ++a)
        take(coefficients[(output * g_count + b) * f_count + a], f + a * count, a > 0, along + b * count, count);
    for (std::int64_t j = 0; j < count; ++j)
      for (std::int64_t b = 0; b < g_count; ++b)
        take(g[b * count + j], along + b * count, b > 0, table + (output * count + j) * count, count);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {
namespace {

HWY_EXPORT(flow_bumps);
HWY_EXPORT(flow_1d);
HWY_EXPORT(flow_2d);
HWY_EXPORT(flow_table_1d);
HWY_EXPORT(flow_points_1d);
HWY_EXPORT(table_step_2d);
HWY_EXPORT(fill_table_2d);

void check(const FlowAxis& axis) {
  require(axis.count >= 1 && axis.count <= FlowAxis::most,
          "feature flow: {} functions of a coordinate, expected 1 to {}", axis.count, FlowAxis::most);
}

void check_size(const char* what, std::size_t size, std::int64_t expected) {
  require(static_cast<std::int64_t>(size) == expected, "feature flow: {} numbers in {}, expected {}", size, what,
          expected);
}

}  // namespace

void flow_features(const FlowAxis& axis, std::span<const float> keep, std::span<const float> coefficients,
                   std::span<float> z) {
  check(axis);
  const auto steps = static_cast<std::int64_t>(keep.size()), n = static_cast<std::int64_t>(z.size());
  check_size("coefficients", coefficients.size(), steps * axis.count);
  if (axis.basis != FlowAxis::Basis::gaussian || axis.sharpness != 2.0f || axis.count > 16) {
    HWY_DYNAMIC_DISPATCH(flow_1d)(axis, keep.data(), steps, coefficients.data(), z.data(), n);
    return;
  }
  constexpr std::int64_t width = 32, shift = 8;
  std::vector<float> rows(static_cast<std::size_t>(steps * width), 0.0f);
  for (std::int64_t k = 0; k < steps; ++k)
    std::copy_n(coefficients.data() + k * axis.count, axis.count, rows.data() + k * width + shift);
  HWY_DYNAMIC_DISPATCH(flow_bumps)
  (axis.count, axis.from, axis.scale, keep.data(), steps, rows.data(), z.data(), n);
}

void flow_features(const FlowAxis& x_axis, const FlowAxis& y_axis, std::span<const float> keep,
                   std::span<const float> coefficients, std::span<float> x, std::span<float> y) {
  check(x_axis);
  check(y_axis);
  const auto steps = static_cast<std::int64_t>(keep.size()), n = static_cast<std::int64_t>(x.size());
  check_size("coefficients", coefficients.size(), 2 * steps * x_axis.count * y_axis.count);
  check_size("y", y.size(), n);
  HWY_DYNAMIC_DISPATCH(flow_2d)
  (x_axis, y_axis, keep.data(), steps, coefficients.data(), x.data(), y.data(), n);
}

void flow_table(const FlowGrid& grid, std::span<const float> keep, std::span<const float> table, std::span<float> z) {
  check_size("the table", table.size(), static_cast<std::int64_t>(keep.size()) * grid.count);
  HWY_DYNAMIC_DISPATCH(flow_table_1d)
  (grid, keep.data(), static_cast<std::int64_t>(keep.size()), table.data(), z.data(),
   static_cast<std::int64_t>(z.size()));
}

void flow_points(std::span<const float> points, std::span<const PointStep> steps, std::span<float> z) {
  require(!points.empty(), "feature flow: no points");
  HWY_DYNAMIC_DISPATCH(flow_points_1d)
  (points.data(), static_cast<std::int64_t>(points.size()), steps.data(), static_cast<std::int64_t>(steps.size()),
   z.data(), static_cast<std::int64_t>(z.size()));
}

void flow_table_step(const FlowGrid& grid, float keep, std::span<const float> table, std::span<float> x,
                     std::span<float> y) {
  check_size("the table", table.size(), 2 * grid.count * grid.count);
  check_size("y", y.size(), static_cast<std::int64_t>(x.size()));
  HWY_DYNAMIC_DISPATCH(table_step_2d)
  (grid, keep, table.data(), x.data(), y.data(), static_cast<std::int64_t>(x.size()));
}

void fill_flow_table(std::span<const float> f, std::span<const float> g, std::span<const float> coefficients,
                     std::int64_t count, std::span<float> table) {
  const auto f_count = static_cast<std::int64_t>(f.size()) / count,
             g_count = static_cast<std::int64_t>(g.size()) / count;
  check_size("coefficients", coefficients.size(), 2 * f_count * g_count);
  check_size("the table", table.size(), 2 * count * count);
  std::vector<float> along(static_cast<std::size_t>(g_count * count));
  HWY_DYNAMIC_DISPATCH(fill_table_2d)
  (f.data(), f_count, g.data(), g_count, coefficients.data(), count, along.data(), table.data());
}

std::vector<double> axis_values(const FlowAxis& axis, double x) {
  check(axis);
  std::vector<double> values(static_cast<std::size_t>(axis.count), 1.0);
  if (axis.basis == FlowAxis::Basis::gaussian) {
    const double u = (x - double{axis.from}) * double{axis.scale};
    for (std::size_t a = 0; a < values.size(); ++a)
      values[a] = std::exp(-double{axis.sharpness} * std::pow(u - static_cast<double>(a), 2));
    return values;
  }
  const std::size_t sines = (values.size() - 1) / 2, cosines = values.size() - 1 - sines;
  const double angle = 2.0 * std::numbers::pi * x * double{axis.scale};
  for (std::size_t n = 1; n <= cosines; ++n) values[n] = std::cos(static_cast<double>(n) * angle);
  for (std::size_t n = 1; n <= sines; ++n) values[cosines + n] = std::sin(static_cast<double>(n) * angle);
  return values;
}

}  // namespace tweedie
#endif  // HWY_ONCE
