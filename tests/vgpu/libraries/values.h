// Arrays of the element types that the libraries take, as float or double vectors.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace tweedie::vgpu::libraries {

enum class Type { f32, f64, f16, bf16, other };

inline size_t bytes_of(Type type) {
  return type == Type::f64 ? 8 : type == Type::f32 ? 4 : 2;
}

inline float from_half(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | fraction << 13;
  } else if (exponent == 0) {
    const float small = static_cast<float>(fraction) * 0x1p-24f;
    std::memcpy(&bits, &small, 4);
    bits |= sign;
  } else {
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint16_t to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    float a;
    std::memcpy(&a, &magnitude, 4);
    a += 0.5f;
    uint32_t small;
    std::memcpy(&small, &a, 4);
    return static_cast<uint16_t>(sign | (small - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}
inline float from_brain(uint16_t h) {
  const uint32_t bits = static_cast<uint32_t>(h) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint16_t to_brain(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline double load(Type type, const void* base, size_t index) {
  switch (type) {
    case Type::f64:
      return static_cast<const double*>(base)[index];
    case Type::f32:
      return static_cast<const float*>(base)[index];
    case Type::f16:
      return from_half(static_cast<const uint16_t*>(base)[index]);
    default:
      return from_brain(static_cast<const uint16_t*>(base)[index]);
  }
}
inline void store(Type type, void* base, size_t index, double value) {
  switch (type) {
    case Type::f64:
      static_cast<double*>(base)[index] = value;
      break;
    case Type::f32:
      static_cast<float*>(base)[index] = static_cast<float>(value);
      break;
    case Type::f16:
      static_cast<uint16_t*>(base)[index] = to_half(static_cast<float>(value));
      break;
    default:
      static_cast<uint16_t*>(base)[index] = to_brain(static_cast<float>(value));
      break;
  }
}

}  // namespace tweedie::vgpu::libraries
