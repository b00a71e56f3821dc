#include "kernels/empirical_score/tile_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/empirical_score/tile_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <limits>

#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie::empirical {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using tweedie::HWY_NAMESPACE::exp_within;
const hn::ScalableTag<float> floats;
const hn::ScalableTag<double> doubles;
using Floats = hn::Vec<decltype(floats)>;
using Doubles = hn::Vec<decltype(doubles)>;
constexpr float lowest = std::numeric_limits<float>::lowest();
constexpr float highest = std::numeric_limits<float>::max();

// Loads as many values as a vector of floats, or of doubles, holds.
HWY_INLINE Floats load_floats(const float* x) {
  return hn::LoadU(floats, x);
}
HWY_INLINE Floats load_floats(const std::uint8_t* x) {
  const hn::Rebind<std::uint8_t, decltype(floats)> bytes;
  const hn::Rebind<std::int32_t, decltype(floats)> integers;
  return hn::ConvertTo(floats, hn::PromoteTo(integers, hn::LoadU(bytes, x)));
}
HWY_INLINE Doubles load_doubles(const float* x) {
  return hn::PromoteTo(doubles, hn::LoadU(hn::Rebind<float, decltype(doubles)>(), x));
}
HWY_INLINE Doubles load_doubles(const std::uint8_t* x) {
  const hn::Rebind<std::uint8_t, decltype(doubles)> bytes;
  const hn::Rebind<std::int32_t, decltype(doubles)> integers;
  return hn::PromoteTo(doubles, hn::PromoteTo(integers, hn::LoadU(bytes, x)));
}

template <class T>
HWY_INLINE void centre_any(const T* x, const float* centre, float scale, float* y, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto factor = hn::Set(floats, scale);
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes)
    hn::StoreU(hn::Mul(hn::Sub(load_floats(x + j), hn::LoadU(floats, centre + j)), factor), floats, y + j);
  for (; j < count; ++j) y[j] = (static_cast<float>(x[j]) - centre[j]) * scale;
}
void centre_bytes(const std::uint8_t* x, const float* centre, float scale, float* y, std::int64_t count) {
  centre_any(x, centre, scale, y, count);
}
void centre_floats(const float* x, const float* centre, float scale, float* y, std::int64_t count) {
  centre_any(x, centre, scale, y, count);
}

template <class T>
HWY_INLINE double squared_distance_any(const T* x, const double* origin, double step, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(doubles));
  const auto factor = hn::Set(doubles, step);
  auto sum0 = hn::Zero(doubles), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  const auto difference = [&](std::int64_t j) HWY_ATTR {
    return hn::NegMulAdd(factor, load_doubles(x + j), hn::LoadU(doubles, origin + j));
  };
  std::int64_t j = 0;
  for (; j + 4 * lanes <= count; j += 4 * lanes) {
    const auto d0 = difference(j), d1 = difference(j + lanes);
    const auto d2 = difference(j + 2 * lanes), d3 = difference(j + 3 * lanes);
    sum0 = hn::MulAdd(d0, d0, sum0);
    sum1 = hn::MulAdd(d1, d1, sum1);
    sum2 = hn::MulAdd(d2, d2, sum2);
    sum3 = hn::MulAdd(d3, d3, sum3);
  }
  for (; j + lanes <= count; j += lanes) {
    const auto d = difference(j);
    sum0 = hn::MulAdd(d, d, sum0);
  }
  double sum = hn::GetLane(hn::SumOfLanes(doubles, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  for (; j < count; ++j) {
    const double d = origin[j] - step * static_cast<double>(x[j]);
    sum += d * d;
  }
  return sum;
}
double squared_distance_bytes(const std::uint8_t* x, const double* origin, double step, std::int64_t count) {
  return squared_distance_any(x, origin, step, count);
}
double squared_distance_floats(const float* x, const double* origin, double step, std::int64_t count) {
  return squared_distance_any(x, origin, step, count);
}

template <class T>
HWY_INLINE double add_difference_any(const T* x, const double* reference, double weight, double* moment,
                                     std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(doubles));
  const auto factor = hn::Set(doubles, weight);
  auto sum0 = hn::Zero(doubles), sum1 = sum0;
  const auto step = [&](std::int64_t j, Doubles sum) HWY_ATTR {
    const auto d = hn::Sub(load_doubles(x + j), hn::LoadU(doubles, reference + j));
    hn::StoreU(hn::MulAdd(factor, d, hn::LoadU(doubles, moment + j)), doubles, moment + j);
    return hn::MulAdd(d, d, sum);
  };
  std::int64_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    sum0 = step(j, sum0);
    sum1 = step(j + lanes, sum1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(doubles, hn::Add(sum0, sum1)));
  for (; j < count; ++j) {
    const double d = static_cast<double>(x[j]) - reference[j];
    moment[j] += weight * d;
    sum += d * d;
  }
  return sum;
}

double add_difference_bytes(const std::uint8_t* x, const double* reference, double weight, double* moment,
                            std::int64_t count) {
  return add_difference_any(x, reference, weight, moment, count);
}
double add_difference_floats(const float* x, const double* reference, double weight, double* moment,
                             std::int64_t count) {
  return add_difference_any(x, reference, weight, moment, count);
}

void scale_and_add_row(double* sum, double factor, const float* addend, double addend_factor, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(doubles));
  const auto scale = hn::Set(doubles, factor), weight = hn::Set(doubles, addend_factor);
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes)
    hn::StoreU(hn::MulAdd(hn::LoadU(doubles, sum + j), scale, hn::Mul(load_doubles(addend + j), weight)), doubles,
               sum + j);
  for (; j < count; ++j) sum[j] = sum[j] * factor + static_cast<double>(addend[j]) * addend_factor;
}

void finish(const float* products, const float* squared_norms, float half_alpha, float offset, float* h,
            std::int64_t count) {
  tweedie::HWY_NAMESPACE::map_vectors(count, h, [=](auto tag, std::int64_t i) HWY_ATTR {
    const auto value =
        hn::NegMulAdd(hn::Set(tag, half_alpha), hn::LoadU(tag, squared_norms + i), hn::LoadU(tag, products + i));
    return hn::Sub(value, hn::Set(tag, offset));
  });
}

RowRange range_of(const float* h, float target, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto mark = hn::Set(floats, target);
  const auto low = hn::Set(floats, lowest), high = hn::Set(floats, highest);
  auto largest = low, below = low, above = high;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(floats, h + i);
    const auto is_above = hn::Gt(value, mark);
    largest = hn::Max(largest, value);
    below = hn::Max(below, hn::IfThenElse(is_above, low, value));
    above = hn::Min(above, hn::IfThenElse(is_above, value, high));
  }
  RowRange range{hn::GetLane(hn::MaxOfLanes(floats, largest)), hn::GetLane(hn::MaxOfLanes(floats, below)),
                 hn::GetLane(hn::MinOfLanes(floats, above))};
  for (; i < count; ++i) {
    range.largest = HWY_MAX(range.largest, h[i]);
    if (h[i] > target)
      range.above = HWY_MIN(range.above, h[i]);
    else
      range.below = HWY_MAX(range.below, h[i]);
  }
  return range;
}

std::int64_t count_in(const float* values, float low, float high, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto from = hn::Set(floats, low), to = hn::Set(floats, high);
  std::int64_t found = 0, i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(floats, values + i);
    found += static_cast<std::int64_t>(hn::CountTrue(floats, hn::And(hn::Ge(value, from), hn::Le(value, to))));
  }
  for (; i < count; ++i) found += values[i] >= low && values[i] <= high;
  return found;
}

std::int64_t positions_in(const float* values, float low, float high, std::int64_t count, std::int32_t* positions) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto from = hn::Set(floats, low), to = hn::Set(floats, high);
  std::int64_t found = 0, i = 0;
  const auto take = [&](std::int64_t position) {
    if (values[position] >= low && values[position] <= high) positions[found++] = static_cast<std::int32_t>(position);
  };
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(floats, values + i);
    if (hn::AllFalse(floats, hn::And(hn::Ge(value, from), hn::Le(value, to)))) continue;
    for (std::int64_t lane = 0; lane < lanes; ++lane) take(i + lane);
  }
  for (; i < count; ++i) take(i);
  return found;
}

// A weight this small relative to the largest is below anything that an output can show.
constexpr float smallest_log_weight = -80.0f;

float weights_of(const float* h, float reference, float rate, float* p, std::int64_t count) {
  const hn::CappedTag<float, 1> single;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto weigh = [&](auto tag, std::int64_t i) HWY_ATTR {
    const auto logarithm = hn::Mul(hn::Sub(hn::LoadU(tag, h + i), hn::Set(tag, reference)), hn::Set(tag, rate));
    const auto cut = hn::Set(tag, smallest_log_weight);
    const auto weight = hn::IfThenElseZero(hn::Gt(logarithm, cut), exp_within(tag, hn::Max(logarithm, cut)));
    hn::StoreU(weight, tag, p + i);
    return weight;
  };
  auto sum0 = hn::Zero(floats), sum1 = sum0;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = hn::Add(sum0, weigh(floats, i));
    sum1 = hn::Add(sum1, weigh(floats, i + lanes));
  }
  float sum = hn::GetLane(hn::SumOfLanes(floats, hn::Add(sum0, sum1)));
  for (; i < count; ++i) sum += hn::GetLane(weigh(single, i));
  return sum;
}

float sum_not_above(const float* values, float limit, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const auto bound = hn::Set(floats, limit);
  auto sum = hn::Zero(floats);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(floats, values + i);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::Le(value, bound), value));
  }
  float total = hn::GetLane(hn::SumOfLanes(floats, sum));
  for (; i < count; ++i) total += values[i] <= limit ? values[i] : 0.0f;
  return total;
}

// Light weights are many: their sum must not be lost beside a heavy one, so that of the weights is in double.
RowMoments take_weights_of(const float* p, float limit, float* h, float reference, float rate,
                           const float* squared_norms, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const std::int64_t half = static_cast<std::int64_t>(hn::Lanes(doubles));
  const auto bound = hn::Set(floats, limit), origin = hn::Set(floats, reference), factor = hn::Set(floats, rate);
  auto log_weight = hn::Zero(floats), squared_norm = log_weight;
  auto weight = hn::Zero(doubles);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto value = hn::LoadU(floats, p + i);
    value = hn::IfThenElseZero(hn::Le(value, bound), value);
    const auto logarithm = hn::Mul(hn::Sub(hn::LoadU(floats, h + i), origin), factor);
    hn::StoreU(value, floats, h + i);
    for (std::int64_t part = 0; part < lanes; part += half) weight = hn::Add(weight, load_doubles(h + i + part));
    log_weight = hn::MulAdd(value, logarithm, log_weight);
    squared_norm = hn::MulAdd(value, hn::LoadU(floats, squared_norms + i), squared_norm);
  }
  RowMoments moments{hn::GetLane(hn::SumOfLanes(doubles, weight)),
                     static_cast<double>(hn::GetLane(hn::SumOfLanes(floats, log_weight))),
                     static_cast<double>(hn::GetLane(hn::SumOfLanes(floats, squared_norm)))};
  for (; i < count; ++i) {
    const double value = p[i] <= limit ? static_cast<double>(p[i]) : 0.0;
    moments.weight += value;
    moments.log_weight += value * static_cast<double>((h[i] - reference) * rate);
    moments.squared_norm += value * static_cast<double>(squared_norms[i]);
    h[i] = static_cast<float>(value);
  }
  return moments;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie::empirical
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie::empirical {

HWY_EXPORT(centre_bytes);
HWY_EXPORT(centre_floats);
HWY_EXPORT(squared_distance_bytes);
HWY_EXPORT(squared_distance_floats);
HWY_EXPORT(add_difference_bytes);
HWY_EXPORT(add_difference_floats);
HWY_EXPORT(scale_and_add_row);
HWY_EXPORT(finish);
HWY_EXPORT(range_of);
HWY_EXPORT(count_in);
HWY_EXPORT(positions_in);
HWY_EXPORT(weights_of);
HWY_EXPORT(sum_not_above);
HWY_EXPORT(take_weights_of);

void centre_row(const std::uint8_t* x, const float* centre, float scale, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(centre_bytes)(x, centre, scale, y, count);
}
void centre_row(const float* x, const float* centre, float scale, float* y, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(centre_floats)(x, centre, scale, y, count);
}
double squared_distance(const std::uint8_t* x, const double* origin, double step, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(squared_distance_bytes)(x, origin, step, count);
}
double squared_distance(const float* x, const double* origin, double step, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(squared_distance_floats)(x, origin, step, count);
}
double add_difference(const std::uint8_t* x, const double* reference, double weight, double* moment,
                      std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(add_difference_bytes)(x, reference, weight, moment, count);
}
double add_difference(const float* x, const double* reference, double weight, double* moment, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(add_difference_floats)(x, reference, weight, moment, count);
}
void scale_and_add(double* sum, double factor, const float* addend, double addend_factor, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(scale_and_add_row)(sum, factor, addend, addend_factor, count);
}
void finish_row(const float* products, const float* squared_norms, float half_alpha, float offset, float* h,
                std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(finish)(products, squared_norms, half_alpha, offset, h, count);
}
RowRange range_of_row(const float* h, float target, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(range_of)(h, target, count);
}
std::int64_t count_within(const float* values, float low, float high, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(count_in)(values, low, high, count);
}
std::int64_t positions_within(const float* values, float low, float high, std::int64_t count, std::int32_t* positions) {
  return HWY_DYNAMIC_DISPATCH(positions_in)(values, low, high, count, positions);
}
float weights_of_row(const float* h, float reference, float rate, float* p, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(weights_of)(h, reference, rate, p, count);
}
float sum_up_to(const float* values, float limit, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(sum_not_above)(values, limit, count);
}
RowMoments take_weights(const float* p, float limit, float* h, float reference, float rate, const float* squared_norms,
                        std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(take_weights_of)(p, limit, h, reference, rate, squared_norms, count);
}

}  // namespace tweedie::empirical
#endif  // HWY_ONCE
