// Names that the whole virtual GPU shares.
#pragma once
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tweedie::vgpu {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

constexpr int kLanes = 32;
constexpr u32 kFull = 0xffffffffu;

// Something the virtual GPU does not have: named, and never answered with a wrong result.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Generic addresses of the two windows that are not in the device's global memory. The low 32 bits are the offset.
constexpr u64 kSharedWindow = 0x0101'0000'0000'0000ull;
constexpr u64 kLocalWindow = 0x0102'0000'0000'0000ull;
constexpr u64 kParamWindow = 0x0103'0000'0000'0000ull;
constexpr u64 kFunctionWindow = 0x0104'0000'0000'0000ull;
constexpr u64 kWindowMask = 0xffff'0000'0000'0000ull;

}  // namespace tweedie::vgpu
