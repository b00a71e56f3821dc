// binary16 and bfloat16 as vectorisable scalar conversions.
#pragma once
#include "exec/lanes.h"

namespace tweedie::vgpu::VGPU_ISA {

template <class To, class From>
inline To bit_cast(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  std::memcpy(&to, &from, sizeof to);
  return to;
}

struct Half {
  static float widen(u16 h) {
#ifdef __F16C__
    return _cvtsh_ss(h);
#else
    const u32 sign = static_cast<u32>(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return bit_cast<float>(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) return bit_cast<float>(sign | bit_cast<u32>(static_cast<float>(fraction) * 0x1p-24f));
    return bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
#endif
  }
  // To nearest even; a NaN becomes the canonical one.
  static u16 narrow(float f) {
    const u32 bits = bit_cast<u32>(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;
    const u32 rounded = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    const u32 small = bit_cast<u32>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;  // subnormal: the adder rounds
    const u32 result = magnitude >= 0x477ff000 ? 0x7c00 : magnitude < 0x38800000 ? small : rounded;
    return static_cast<u16>(sign | result);
  }
};

struct Brain {
  static float widen(u16 h) { return bit_cast<float>(static_cast<u32>(h) << 16); }
  static u16 narrow(float f) {
    const u32 bits = bit_cast<u32>(f);
    const u32 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return static_cast<u16>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : rounded);
  }
};

// p + c with its last bit set where it is inexact, so that a later rounding sees on which side of a tie it lies.
inline double sum_to_odd(double p, double c) {
  const double s = p + c, t = s - p, error = (p - (s - t)) + (c - t);
  const bool inexact = error > 0 || error < 0;  // false for a NaN: s is infinite or a NaN itself
  const u64 bits = bit_cast<u64>(s), odd = (bits - ((error > 0) != (s > 0) ? 1u : 0u)) | 1u;
  return bit_cast<double>(inexact ? odd : bits);
}

// A double rounded to odd in float: a later rounding to 11 or 8 bits is then as if from the double itself.
inline float round_to_odd(double r) {
  const float f = static_cast<float>(r);
  const u32 bits = bit_cast<u32>(f);
  const bool inexact = static_cast<double>(f) != r && r == r;
  const bool too_far = std::fabs(static_cast<double>(f)) > std::fabs(r);
  const u32 odd = (bits - (too_far ? 1u : 0u)) | 1u;
  return bit_cast<float>(inexact ? odd : bits);
}

}  // namespace tweedie::vgpu::VGPU_ISA
