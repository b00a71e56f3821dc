#include "kernels/empirical_score/byte_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/empirical_score/byte_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace tweedie::empirical {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
const hn::ScalableTag<float> floats;
const hn::Rebind<std::int32_t, decltype(floats)> integers;
const hn::Rebind<std::uint8_t, decltype(floats)> bytes;
const hn::ScalableTag<double> doubles;
const hn::Rebind<std::int32_t, decltype(doubles)> half_integers;
const hn::Rebind<float, decltype(doubles)> half_floats;

constexpr float most_whole = 0x1p24f - 8.0f;      // the largest k
constexpr float smallest_largest_value = 1e-30f;  // below, a step would not be a normal number

float largest_of(const float* values, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  auto most = hn::Set(floats, smallest_largest_value);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) most = hn::Max(most, hn::LoadU(floats, values + i));
  float largest = hn::GetLane(hn::MaxOfLanes(floats, most));
  for (; i < count; ++i) largest = std::max(largest, values[i]);
  return largest;
}

WholeRow write_digits_of(const float* values, const Digits<std::uint8_t>& digits, std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  const float inverse_step = most_whole / largest_of(values, count);
  const auto inverse = hn::Set(floats, inverse_step);
  const auto digit = hn::Set(integers, 255), half = hn::Set(integers, 4095);
  auto carry = hn::Zero(floats);
  auto high_sum = hn::Zero(integers), low_sum = high_sum;  // of k's upper and lower 12 bits
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::MulAdd(hn::LoadU(floats, values + i), inverse, carry);
    const auto whole = hn::NearestInt(value);
    carry = hn::Sub(value, hn::ConvertTo(floats, whole));
    high_sum = hn::Add(high_sum, hn::ShiftRight<12>(whole));
    low_sum = hn::Add(low_sum, hn::And(whole, half));
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<16>(whole)), bytes, digits.high + i);
    hn::StoreU(hn::DemoteTo(bytes, hn::And(hn::ShiftRight<8>(whole), digit)), bytes, digits.middle + i);
    hn::StoreU(hn::DemoteTo(bytes, hn::And(whole, digit)), bytes, digits.low + i);
  }
  double sum = 4096.0 * hn::GetLane(hn::SumOfLanes(integers, high_sum)) +
               static_cast<double>(hn::GetLane(hn::SumOfLanes(integers, low_sum)));
  for (; i < count; ++i) {
    const auto whole = static_cast<std::int32_t>(std::lrint(values[i] * inverse_step));
    digits.high[i] = static_cast<std::uint8_t>(whole >> 16);
    digits.middle[i] = static_cast<std::uint8_t>(whole >> 8 & 255);
    digits.low[i] = static_cast<std::uint8_t>(whole & 255);
    sum += whole;
  }
  return {1.0 / static_cast<double>(inverse_step), sum};
}

void combine(const WholeSums& sums, double constant, double rate, const double* addends, float* out,
             std::int64_t count) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(doubles));
  const Digits<const std::int32_t>& digits = sums.digits;
  const auto upper = hn::Set(doubles, 65536.0), middle = hn::Set(doubles, 256.0);
  const auto factor = hn::Set(doubles, sums.factor), step = hn::Set(doubles, sums.scale);
  const auto subtracted = hn::Set(doubles, constant), slope = hn::Set(doubles, rate);
  const auto load = [&](const std::int32_t* x) HWY_ATTR { return hn::PromoteTo(doubles, hn::LoadU(half_integers, x)); };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto whole = hn::MulAdd(load(digits.high + i), upper, load(digits.low + i));
    whole = hn::MulAdd(load(digits.middle + i), middle, whole);
    whole = hn::NegMulAdd(factor, hn::LoadU(doubles, sums.offsets + i), whole);
    const auto other = hn::MulAdd(slope, hn::LoadU(doubles, addends + i), subtracted);
    hn::StoreU(hn::DemoteTo(half_floats, hn::MulSub(whole, step, other)), half_floats, out + i);
  }
  for (; i < count; ++i) {
    const double whole =
        65536.0 * digits.high[i] + 256.0 * digits.middle[i] + digits.low[i] - sums.factor * sums.offsets[i];
    out[i] = static_cast<float>(sums.scale * whole - constant - rate * addends[i]);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie::empirical
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie::empirical {

HWY_EXPORT(write_digits_of);
HWY_EXPORT(combine);

WholeRow write_digits(const float* values, const Digits<std::uint8_t>& digits, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(write_digits_of)(values, digits, count);
}
void combine_digits(const WholeSums& sums, double constant, double rate, const double* addends, float* out,
                    std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(combine)(sums, constant, rate, addends, out, count);
}

std::int64_t centre_bytes_at_128(const std::uint8_t* x, std::int8_t* y, std::int64_t count) {
  std::int32_t sum = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    y[j] = static_cast<std::int8_t>(x[j] ^ 0x80);
    sum += x[j];
  }
  return sum - 128 * count;
}

}  // namespace tweedie::empirical
#endif  // HWY_ONCE
