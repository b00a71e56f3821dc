#pragma once

#include <cstdint>
#include <string_view>

namespace tweedie {

/// `reference` is the double-precision backend of the tests: naive, serial, obviously right (tests/reference).
enum class DeviceKind : std::uint8_t { cpu, cuda, reference };
inline constexpr int device_kinds = 3;

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

std::string_view name_of(DeviceKind kind);

/// "cpu", "cuda", "cuda:1" or "auto" (cuda where a device answers, else cpu). Throws UsageError for anything else and
/// Error when the device named is not there, saying why.
Device parse_device(std::string_view text);

}  // namespace tweedie
