// Philox4x32-10 and the normals of normal.h in vectors; included once for each instruction set (see simd-inl.h).
#if defined(TWEEDIE_NORMAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TWEEDIE_NORMAL_INL_H
#undef TWEEDIE_NORMAL_INL_H
#else
#define TWEEDIE_NORMAL_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/runtime/normal.h"
#include "kernels/runtime/random.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {

// fill_words: words `first` ... `first` + count - 1 of the sample's stream; fill_normals: its normals of these
// positions. `first` is a multiple of 4.

#if HWY_TARGET == HWY_SCALAR

inline void fill_words(const RandomKey& key, std::uint32_t sample, std::int64_t first, std::int64_t count,
                       std::uint32_t* out) {
  for (std::int64_t i = 0; i < count; i += 4) {
    const PhiloxBlock block = philox(key, sample, static_cast<std::uint32_t>((first + i) / 4));
    std::copy(block.words, block.words + std::min<std::int64_t>(4, count - i), out + i);
  }
}

inline void fill_normals(const RandomKey& key, std::uint32_t sample, std::int64_t first, std::int64_t count,
                         float* out) {
  for (std::int64_t i = 0; i < count; i += 4) {
    const PhiloxBlock block = philox(key, sample, static_cast<std::uint32_t>((first + i) / 4));
    float normals[4];
    normal_pair(block.words[0], block.words[1], normals[0], normals[1]);
    normal_pair(block.words[2], block.words[3], normals[2], normals[3]);
    std::copy(normals, normals + std::min<std::int64_t>(4, count - i), out + i);
  }
}

#else

using WordTag = hn::ScalableTag<std::uint32_t>;
using Words = hn::Vec<WordTag>;

/// low and high halves of the 64-bit products a * multiplier
HWY_INLINE void multiply_wide(Words a, Words multiplier, Words& low, Words& high) {
  const WordTag d;
  const hn::RepartitionToWide<WordTag> wide;
  const auto even = hn::MulEven(a, multiplier);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a))), multiplier);
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
}

/// words[j], lane i: word j of block first_block + i of the sample's stream, as philox() has it.
HWY_INLINE void philox_words(const RandomKey& key, std::uint32_t sample, std::uint32_t first_block, Words words[4]) {
  const WordTag d;
  const Words multiplier0 = hn::Set(d, 0xD2511F53u), multiplier1 = hn::Set(d, 0xCD9E8D57u);
  Words c0 = hn::Iota(d, first_block), c1 = hn::Set(d, key.step), c2 = hn::Set(d, sample);
  Words c3 = hn::Set(d, static_cast<std::uint32_t>(key.purpose));
  auto key0 = static_cast<std::uint32_t>(key.seed), key1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    Words low0, high0, low1, high1;
    multiply_wide(c0, multiplier0, low0, high0);
    multiply_wide(c2, multiplier1, low1, high1);
    c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(d, key0));
    c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(d, key1));
    c1 = low1;
    c3 = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/// minus_log_uniform of normal.h
HWY_INLINE hn::Vec<FloatTag> minus_log_uniform(Words word) {
  using namespace normal_constants;
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const auto signed_word = hn::BitCast(di, word);
  const auto upper = hn::MaskFromVec(hn::BitCast(d, hn::ShiftRight<31>(signed_word)));
  const auto folded = hn::Xor(signed_word, hn::ShiftRight<31>(signed_word));
  const auto f = hn::Mul(hn::Add(hn::ConvertTo(d, folded), hn::Set(d, 0.5f)), hn::Set(d, 0x1p-32f));
  const auto near_one = hn::Lt(f, hn::Set(d, one_minus_sqrt_half));
  const auto upper_t = hn::IfThenElse(near_one, hn::Neg(f), hn::Sub(hn::Set(d, 1.0f), hn::Add(f, f)));
  const auto upper_e = hn::IfThenZeroElse(near_one, hn::Set(d, -1.0f));
  const auto bits = hn::BitCast(di, f);
  const auto exponent = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, sqrt_half_bits)));
  const auto mantissa = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent)));
  const auto t = hn::IfThenElse(upper, upper_t, hn::Sub(mantissa, hn::Set(d, 1.0f)));
  const auto e = hn::IfThenElse(upper, upper_e, hn::ConvertTo(d, exponent));
  auto p = hn::Set(d, log_term(9));
  for (int i = 8; i >= 0; --i) p = hn::MulAdd(p, t, hn::Set(d, log_term(i)));
  const auto tail = hn::MulAdd(hn::Mul(t, t), p, hn::Mul(e, hn::Set(d, log2_low)));
  return hn::Neg(hn::MulAdd(e, hn::Set(d, log2_high), hn::Add(t, tail)));
}

/// circle_point of normal.h
HWY_INLINE void circle_point(Words word, hn::Vec<FloatTag>& cosine, hn::Vec<FloatTag>& sine) {
  using namespace normal_constants;
  const FloatTag d;
  const WordTag du;
  const hn::RebindToSigned<FloatTag> di;
  const auto quadrant = hn::ShiftRight<30>(hn::Add(word, hn::Set(du, 0x20000000u)));
  const auto offset = hn::BitCast(di, hn::Sub(word, hn::ShiftLeft<30>(quadrant)));
  const auto doubled = hn::Add(hn::Add(offset, offset), hn::Set(di, 1));
  const auto x = hn::Mul(hn::ConvertTo(d, doubled), hn::Set(d, 0x1p-31f));
  const auto square = hn::Mul(x, x);
  auto s = hn::Set(d, sin_term(3)), c = hn::Set(d, cos_term(3));
  for (int i = 2; i >= 0; --i) {
    s = hn::MulAdd(s, square, hn::Set(d, sin_term(i)));
    c = hn::MulAdd(c, square, hn::Set(d, cos_term(i)));
  }
  s = hn::MulAdd(x, hn::Set(d, half_pi), hn::Mul(x, s));
  c = hn::MulAdd(c, square, hn::Set(d, 1.0f));
  const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(hn::BitCast(di, hn::And(quadrant, hn::Set(du, 1u))))));
  const auto sign = hn::Set(du, 0x80000000u);
  // The cosine is negative in quadrants 1 and 2, the sine in 2 and 3: bit 1 of quadrant + 1, and of quadrant.
  const auto cosine_sign = hn::And(hn::ShiftLeft<30>(hn::Add(quadrant, hn::Set(du, 1u))), sign);
  const auto sine_sign = hn::And(hn::ShiftLeft<30>(quadrant), sign);
  cosine = hn::Xor(hn::IfThenElse(odd, s, c), hn::BitCast(d, cosine_sign));
  sine = hn::Xor(hn::IfThenElse(odd, c, s), hn::BitCast(d, sine_sign));
}

inline void fill_words(const RandomKey& key, std::uint32_t sample, std::int64_t first, std::int64_t count,
                       std::uint32_t* out) {
  const WordTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN std::uint32_t rest[4 * HWY_LANES(std::uint32_t)];
  auto block = static_cast<std::uint32_t>(first / 4);
  for (std::int64_t i = 0; i < count; i += 4 * lanes, block += static_cast<std::uint32_t>(lanes)) {
    Words words[4];
    philox_words(key, sample, block, words);
    std::uint32_t* target = i + 4 * lanes <= count ? out + i : rest;
    hn::StoreInterleaved4(words[0], words[1], words[2], words[3], d, target);
    if (target == rest) std::copy(rest, rest + (count - i), out + i);
  }
}

inline void fill_normals(const RandomKey& key, std::uint32_t sample, std::int64_t first, std::int64_t count,
                         float* out) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN float rest[4 * HWY_LANES(float)];
  auto block = static_cast<std::uint32_t>(first / 4);
  for (std::int64_t i = 0; i < count; i += 4 * lanes, block += static_cast<std::uint32_t>(lanes)) {
    Words words[4];
    philox_words(key, sample, block, words);
    hn::Vec<FloatTag> cosine0, sine0, cosine1, sine1;
    circle_point(words[1], cosine0, sine0);
    circle_point(words[3], cosine1, sine1);
    const auto two = hn::Set(d, 2.0f);
    const auto radius0 = hn::Sqrt(hn::Mul(two, minus_log_uniform(words[0])));
    const auto radius1 = hn::Sqrt(hn::Mul(two, minus_log_uniform(words[2])));
    float* target = i + 4 * lanes <= count ? out + i : rest;
    hn::StoreInterleaved4(hn::Mul(radius0, cosine0), hn::Mul(radius0, sine0), hn::Mul(radius1, cosine1),
                          hn::Mul(radius1, sine1), d, target);
    if (target == rest) std::copy(rest, rest + (count - i), out + i);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#endif  // include guard of each target
