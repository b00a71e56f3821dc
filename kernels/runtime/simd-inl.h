// Vector helpers of the CPU kernels, compiled once for each instruction set. Include it after <hwy/foreach_target.h>,
// in the .cpp that is compiled for each target (https://google.github.io/highway).
#if defined(TWEEDIE_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TWEEDIE_SIMD_INL_H
#undef TWEEDIE_SIMD_INL_H
#else
#define TWEEDIE_SIMD_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;

/// Calls body(tag, i) for i = 0, lanes, 2 lanes ... with the full vector's tag, then for the odd tail with a tag of one
/// lane: the body is written once, as a generic lambda, and never touches memory outside [0, count).
template <class Body>
HWY_INLINE void for_each_vector(std::int64_t count, Body&& body) {
  const FloatTag full;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(full));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(full, i);
  const hn::CappedTag<float, 1> single;
  for (; i < count; ++i) body(single, i);
}

/// out[i] = value(tag, i) for every i in [0, count), two vectors at a time: their chains of dependent operations
/// overlap. `value` may read out[i] (an operand in place, or accumulation) but no other element of out.
template <class Value>
HWY_INLINE void map_vectors(std::int64_t count, float* out, Value&& value) {
  const FloatTag full;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(full));
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto first = value(full, i);
    const auto second = value(full, i + lanes);
    hn::StoreU(first, full, out + i);
    hn::StoreU(second, full, out + i + lanes);
  }
  if (i + lanes <= count) {
    hn::StoreU(value(full, i), full, out + i);
    i += lanes;
  }
  const hn::CappedTag<float, 1> single;
  for (; i < count; ++i) hn::StoreU(value(single, i), single, out + i);
}

/// exp(r) for |r| <= ln(2) / 2: a minimax polynomial, relative error 2^-28.
template <class D>
HWY_INLINE hn::Vec<D> exp_polynomial(D d, hn::Vec<D> r) {
  const auto one = hn::Set(d, 1.0f);
  auto p = hn::Set(d, 0.00138201076f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.00836868491f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416682735f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166665211f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.49999994f));
  return hn::MulAdd(hn::MulAdd(p, r, one), r, one);
}

/// exp(x) for -87 <= x <= 88, to about 1.5 ulp; meaningless outside. Adding 1.5 * 2^23 rounds x / ln 2 to a whole
/// number that then stands in the low bits of the sum, from where a shift adds it to the polynomial's exponent.
template <class D>
HWY_INLINE hn::Vec<D> exp_within(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto magic = hn::Set(d, 12582912.0f);
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const auto whole = hn::Sub(shifted, magic);
  auto r = hn::NegMulAdd(whole, hn::Set(d, 0.693145752f), x);  // ln 2 in two parts
  r = hn::NegMulAdd(whole, hn::Set(d, 1.42860677e-6f), r);
  const auto bits = hn::BitCast(di, exp_polynomial(d, r));
  return hn::BitCast(d, hn::Add(bits, hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

template <class D>
HWY_INLINE hn::Vec<D> power_of_two(D d, hn::Vec<hn::RebindToSigned<D>> exponent) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(exponent, hn::Set(di, 127))));
}

/// exp(x) for every x, to about 1.5 ulp: infinity where it overflows, subnormals and 0 where it underflows, NaN for
/// NaN.
template <class D>
HWY_INLINE hn::Vec<D> exp_anywhere(D d, hn::Vec<D> x) {
  const auto bounded = hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f));
  const auto quotient = hn::NearestInt(hn::Mul(bounded, hn::Set(d, 1.44269504f)));
  const auto whole = hn::ConvertTo(d, quotient);
  auto r = hn::NegMulAdd(whole, hn::Set(d, 0.693145752f), bounded);
  r = hn::NegMulAdd(whole, hn::Set(d, 1.42860677e-6f), r);
  const auto half = hn::ShiftRight<1>(quotient);  // the power of two in two steps, since it may not be a normal number
  const auto scaled = hn::Mul(exp_polynomial(d, r), power_of_two(d, half));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Mul(scaled, power_of_two(d, hn::Sub(quotient, half))));
}

/// 1 / x to about 1 ulp, for normal x and 1 / x: an estimate and a step of Newton's method, several times as fast as a
/// division.
template <class D>
HWY_INLINE hn::Vec<D> reciprocal(D d, hn::Vec<D> x) {
  const auto estimate = hn::ApproximateReciprocal(x);
  return hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, hn::Set(d, 1.0f)), estimate);
}

/// s = 1 / (1 + e), e = exp(-x), with x bounded by 87 in size: sigmoid(x) to about 2 ulp, beyond the bound to 2e-38.
/// Then e s is 1 - s without cancellation. A NaN may be lost: the callers multiply by x.
template <class D>
HWY_INLINE hn::Vec<D> sigmoid(D d, hn::Vec<D> x, hn::Vec<D>& e) {
  e = exp_within(d, hn::Min(hn::Max(hn::Neg(x), hn::Set(d, -87.0f)), hn::Set(d, 87.0f)));
  return reciprocal(d, hn::Add(hn::Set(d, 1.0f), e));
}

template <class D>
HWY_INLINE hn::Vec<D> sigmoid(D d, hn::Vec<D> x) {
  hn::Vec<D> e;
  return sigmoid(d, x, e);
}

/// silu(x) = x sigmoid(x)
template <class D>
HWY_INLINE hn::Vec<D> silu(D d, hn::Vec<D> x) {
  return hn::Mul(x, sigmoid(d, x));
}

/// silu'(x) = s (1 + x (1 - s))
template <class D>
HWY_INLINE hn::Vec<D> silu_derivative(D d, hn::Vec<D> x) {
  hn::Vec<D> e;
  const auto s = sigmoid(d, x, e);
  return hn::MulAdd(hn::Mul(x, s), hn::Mul(e, s), s);
}

/// The sum of term(tag, i) over [0, count): float32 in four vectors over blocks of 1024, the blocks' sums in double.
template <class Term>
HWY_INLINE double blocked_sum(std::int64_t count, Term&& term) {
  constexpr std::int64_t block = 1024;
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  double total = 0.0;
  std::int64_t i = 0;
  while (i + 4 * lanes <= count) {
    const std::int64_t end = i + std::min(block, count - i) / (4 * lanes) * (4 * lanes);
    auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    for (; i < end; i += 4 * lanes) {
      s0 = hn::Add(s0, term(d, i));
      s1 = hn::Add(s1, term(d, i + lanes));
      s2 = hn::Add(s2, term(d, i + 2 * lanes));
      s3 = hn::Add(s3, term(d, i + 3 * lanes));
    }
    total += hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  }
  auto rest = hn::Zero(d);
  for (; i + lanes <= count; i += lanes) rest = hn::Add(rest, term(d, i));
  total += hn::GetLane(hn::SumOfLanes(d, rest));
  const hn::CappedTag<float, 1> single;
  for (; i < count; ++i) total += hn::GetLane(term(single, i));
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#endif  // include guard of each target
