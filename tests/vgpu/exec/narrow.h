// 8-bit floats: e4m3 (no infinity, one NaN of each sign) and e5m2 (the upper byte of a half).
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/types.h"

namespace tweedie::vgpu {

struct Narrow {
  int mantissa, bias;
  u8 top;  // the largest finite magnitude
};
constexpr Narrow kE4m3 = {3, 7, 0x7e}, kE5m2 = {2, 15, 0x7b};

inline float widen(const Narrow& format, u8 code) {
  const int magnitude = code & 0x7f, exponent = magnitude >> format.mantissa;
  const int fraction = magnitude & ((1 << format.mantissa) - 1);
  float value = std::ldexp(static_cast<float>(exponent ? fraction + (1 << format.mantissa) : fraction),
                           std::max(exponent, 1) - format.bias - format.mantissa);
  if (magnitude > format.top)
    value = format.mantissa == 2 && fraction == 0 ? std::numeric_limits<float>::infinity() : NAN;
  return code & 0x80 ? -value : value;
}
// To the nearest even, with .satfinite: what is too large becomes the largest finite value.
inline u8 narrow(const Narrow& format, float value) {
  if (value != value) return 0x7f;
  const u8 sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (magnitude >= 65536.0f) return sign | format.top;
  const int exponent = magnitude == 0 ? 1 - format.bias : std::max(std::ilogb(magnitude), 1 - format.bias);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, format.mantissa - exponent)));
  const int code = ((exponent + format.bias - 1) << format.mantissa) + steps;
  return static_cast<u8>(sign | std::min<int>(code, format.top));
}

}  // namespace tweedie::vgpu
