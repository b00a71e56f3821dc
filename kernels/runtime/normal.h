#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define TWEEDIE_HOST_DEVICE __host__ __device__
#else
#define TWEEDIE_HOST_DEVICE
#endif

// Standard normals from pairs of random words (Box and Muller 1958), in float arithmetic that every device does alike:
// additions, multiplications, fused multiply-adds and a square root, each correctly rounded, and no library function.
// normal-inl.h is the same computation in vectors. Polynomials are minimax fits; the result is within 3.2 ulp (2 x 10^7
// pairs) of the exact r cos(2 pi u2), r sin(2 pi u2), r = sqrt(-2 log u1), u = (word + 0.5) 2^-32.

namespace tweedie {
namespace normal_constants {

// Arrays stand in functions, where device code can use them.

/// log(1 + t) = t + t^2 (log0 + log1 t + ...) on sqrt(1/2) - 1 <= t <= sqrt(2) - 1, relative error 2^-30.
TWEEDIE_HOST_DEVICE constexpr float log_term(int i) {
  constexpr float terms[10] = {-0.5f,        0.333333135f,  -0.250000089f, 0.200020716f,  -0.166679889f,
                               0.142203584f, -0.124062337f, 0.118835494f,  -0.116701014f, 0.0674927235f};
  return terms[i];
}
inline constexpr float log2_high = 0.693145752f,
                       log2_low = 1.42860677e-6f;  // their sum is log 2; 32 log2_high is exact
/// sin(pi/2 x) = x (half_pi + sin0 + sin1 x^2 + ...), cos(pi/2 x) = 1 + x^2 (cos0 + cos1 x^2 + ...) on |x| <= 1/2.
inline constexpr float half_pi = 1.57079637f;
TWEEDIE_HOST_DEVICE constexpr float sin_term(int i) {
  constexpr float terms[4] = {-4.87979896e-08f, -0.64596349f, 0.0796803609f, -0.00460251188f};
  return terms[i];
}
TWEEDIE_HOST_DEVICE constexpr float cos_term(int i) {
  constexpr float terms[4] = {-1.23370051f, 0.253668547f, -0.0208555926f, 0.000894459197f};
  return terms[i];
}
inline constexpr float one_minus_sqrt_half = 0.292893219f;
inline constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;

}  // namespace normal_constants

/// -log(u). Near u = 1 the distance 1 - u is formed from the word itself, so that the small radii keep their digits.
TWEEDIE_HOST_DEVICE inline float minus_log_uniform(std::uint32_t word) {
  using namespace normal_constants;
  const bool upper = (word >> 31) != 0;
  const auto folded = static_cast<std::int32_t>(upper ? ~word : word);
  const float f = (static_cast<float>(folded) + 0.5f) * 0x1p-32f;  // u, or 1 - u in the upper half
  std::int32_t exponent;
  float t;
  if (upper) {
    const bool near_one = f < one_minus_sqrt_half;
    exponent = near_one ? 0 : -1;
    t = near_one ? -f : 1.0f - (f + f);
  } else {
    const auto bits = std::bit_cast<std::int32_t>(f);
    exponent = (bits - sqrt_half_bits) >> 23;
    t = std::bit_cast<float>(bits - exponent * (1 << 23)) - 1.0f;
  }
  float p = log_term(9);
  for (int i = 8; i >= 0; --i) p = std::fma(p, t, log_term(i));
  const auto e = static_cast<float>(exponent);
  const float tail = std::fma(t * t, p, e * log2_low);
  return -std::fma(e, log2_high, t + tail);
}

/// cos(2 pi u) and sin(2 pi u).
TWEEDIE_HOST_DEVICE inline void circle_point(std::uint32_t word, float& cosine, float& sine) {
  using namespace normal_constants;
  const std::uint32_t quadrant = (word + 0x20000000u) >> 30;
  const auto offset = static_cast<std::int32_t>(word - (quadrant << 30));  // [-2^29, 2^29)
  const float x = static_cast<float>(2 * offset + 1) * 0x1p-31f;           // one rounding, also near 0
  const float square = x * x;
  float s = sin_term(3), c = cos_term(3);
  for (int i = 2; i >= 0; --i) {
    s = std::fma(s, square, sin_term(i));
    c = std::fma(c, square, cos_term(i));
  }
  s = std::fma(x, half_pi, x * s);
  c = std::fma(c, square, 1.0f);
  const bool odd = (quadrant & 1) != 0;
  cosine = odd ? s : c;
  sine = odd ? c : s;
  if (quadrant == 1 || quadrant == 2) cosine = -cosine;
  if ((quadrant & 2) != 0) sine = -sine;
}

/// The two normals of a pair of words.
TWEEDIE_HOST_DEVICE inline void normal_pair(std::uint32_t first, std::uint32_t second, float& even, float& odd) {
  const float radius = std::sqrt(2.0f * minus_log_uniform(first));
  float cosine, sine;
  circle_point(second, cosine, sine);
  even = radius * cosine;
  odd = radius * sine;
}

}  // namespace tweedie
