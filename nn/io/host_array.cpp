#include "nn/io/host_array.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tweedie::io {

Shape checked_shape(std::span<const std::int64_t> extents, std::size_t element_bytes, std::string_view name) {
  require(extents.size() <= Shape::max_rank, "{}: has {} axes, at most {} are supported", name, extents.size(),
          Shape::max_rank);
  Shape shape;
  std::int64_t bytes = static_cast<std::int64_t>(element_bytes);
  bool overflow = false;
  for (std::int64_t extent : extents) {
    require(extent >= 0, "{}: negative extent {}", name, extent);
    // An empty axis must not hide the overflow of the others.
    overflow |= __builtin_mul_overflow(bytes, extent == 0 ? 1 : extent, &bytes);
    shape.append(extent);
  }
  require(!overflow, "{}: the number of bytes of its shape overflows 63 bits", name);
  return shape;
}

float float16_to_float32(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide_exponent = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

float bfloat16_to_float32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::vector<float> to_float32(const HostArray& array) {
  std::vector<float> out(static_cast<std::size_t>(array.count()));
  const auto convert = [&](auto values) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(values[i]);
  };
  switch (array.dtype) {
    case DType::float32:
      if (!out.empty()) std::memcpy(out.data(), array.data.data(), out.size() * sizeof(float));
      break;
    case DType::float64:
      convert(array.as<double>());
      break;
    case DType::int64:
      convert(array.as<std::int64_t>());
      break;
    case DType::uint8:
      convert(array.as<std::uint8_t>());
      break;
    case DType::bfloat16: {
      const auto* bits = reinterpret_cast<const std::uint16_t*>(array.data.data());
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = bfloat16_to_float32(bits[i]);
      break;
    }
  }
  return out;
}

}  // namespace tweedie::io
