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

/// exp(r) and the whole number q of x = q ln 2 + r, |r| <= ln(2) / 2: ln 2 in two parts, then a minimax polynomial
/// (error 2^-28).
template <class D>
HWY_INLINE hn::Vec<D> reduced_exp(D d, hn::Vec<D> x, hn::Vec<hn::RebindToSigned<D>>& quotient) {
  quotient = hn::NearestInt(hn::Mul(x, hn::Set(d, 1.44269504f)));
  const auto whole = hn::ConvertTo(d, quotient);
  auto r = hn::NegMulAdd(whole, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(whole, hn::Set(d, 1.42860677e-6f), r);
  auto p = hn::Set(d, 0.00138201076f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.00836868491f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416682735f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166665211f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.49999994f));
  return hn::Add(hn::MulAdd(hn::Mul(p, r), r, r), hn::Set(d, 1.0f));
}

template <class D>
HWY_INLINE hn::Vec<D> power_of_two(D d, hn::Vec<hn::RebindToSigned<D>> exponent) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(exponent, hn::Set(di, 127))));
}

/// exp(x) for -87 <= x <= 88, to about 1 ulp; meaningless outside.
template <class D>
HWY_INLINE hn::Vec<D> exp_within(D d, hn::Vec<D> x) {
  hn::Vec<hn::RebindToSigned<D>> quotient;
  const auto p = reduced_exp(d, x, quotient);
  return hn::Mul(p, power_of_two(d, quotient));
}

/// exp(x) for every x, to about 1 ulp: infinity where it overflows, subnormals and 0 where it underflows, NaN for NaN.
template <class D>
HWY_INLINE hn::Vec<D> exp_anywhere(D d, hn::Vec<D> x) {
  hn::Vec<hn::RebindToSigned<D>> quotient;
  const auto p = reduced_exp(d, hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f)), quotient);
  const auto half = hn::ShiftRight<1>(quotient);
  const auto y = hn::Mul(hn::Mul(p, power_of_two(d, half)), power_of_two(d, hn::Sub(quotient, half)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// 1 / (1 + exp(-x)) to about 2 ulp for |x| <= 87, and to 1e-38 beyond. A NaN may be lost: the callers multiply by x.
template <class D>
HWY_INLINE hn::Vec<D> sigmoid(D d, hn::Vec<D> x) {
  const auto bounded = hn::Min(hn::Max(hn::Neg(x), hn::Set(d, -87.0f)), hn::Set(d, 87.0f));
  return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), exp_within(d, bounded)));
}

/// silu(x) = x sigmoid(x)
template <class D>
HWY_INLINE hn::Vec<D> silu(D d, hn::Vec<D> x) {
  return hn::Mul(x, sigmoid(d, x));
}

/// s = sigmoid(x) and its slope s (1 - s), without the cancellation of 1 - s where s is near 1.
template <class D>
HWY_INLINE void sigmoid_and_slope(D d, hn::Vec<D> x, hn::Vec<D>& s, hn::Vec<D>& slope) {
  const auto one = hn::Set(d, 1.0f);
  const auto e = exp_within(d, hn::Neg(hn::Min(hn::Abs(x), hn::Set(d, 87.0f))));
  const auto larger = hn::Div(one, hn::Add(one, e));
  const auto smaller = hn::Mul(e, larger);
  slope = hn::Mul(smaller, larger);
  s = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), smaller, larger);
}

/// silu'(x) = s + x s (1 - s)
template <class D>
HWY_INLINE hn::Vec<D> silu_derivative(D d, hn::Vec<D> x) {
  hn::Vec<D> s, slope;
  sigmoid_and_slope(d, x, s, slope);
  return hn::MulAdd(x, slope, s);
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
