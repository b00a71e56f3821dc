#include "kernels/runtime/validation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

namespace tweedie {
namespace {

/// Of the largest value: sums in another order differ by less, a wrong kernel by more.
constexpr double allowed_difference = 1e-4;
/// The same of an operation that reads or writes bfloat16, whose epsilon it is.
constexpr double allowed_bfloat16_difference = 0x1p-7;

double value_at(const std::byte* data, std::int64_t index, DType dtype) {
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value;
  };
  switch (dtype) {
    case DType::float32:
      return read(float{});
    case DType::float64:
      return read(double{});
    case DType::bfloat16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(read(std::uint16_t{})) << 16);
    case DType::int64:
      return static_cast<double>(read(std::int64_t{}));
    case DType::uint8:
      return read(std::uint8_t{});
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

bool agree(double got, double expected, double allowed) {
  if (std::isnan(expected)) return std::isnan(got);
  return got == expected || std::abs(got - expected) <= allowed;
}

}  // namespace

bool validating() {
  static const bool on = [] {
    const char* wish = std::getenv("TWEEDIE_VALIDATE");
    if (wish == nullptr || *wish == '\0') return false;
    if (std::string_view(wish) != "cpu")
      throw UsageError(fmt::format("TWEEDIE_VALIDATE is '{}', expected cpu or nothing", wish));
    return true;
  }();
  return on;
}

std::byte* HostMirror::host_address(const std::byte* device) {
  for (const auto& block : blocks_)
    if (device >= block->device && device < block->device + block->host.size())
      return block->host.data() + (device - block->device);
  const Allocator::Block found = stream_.allocator().block_of(device);
  if (found.data == nullptr) return nullptr;
  blocks_.push_back(std::make_unique<Block>(Block{static_cast<const std::byte*>(found.data), {}}));
  blocks_.back()->host.resize(found.bytes);
  stream_.copy_to_host(blocks_.back()->host.data(), found.data, found.bytes);
  return host_address(device);
}

void HostMirror::redirect(Array& operand) {
  if (!operand) return;
  std::byte* const host = host_address(static_cast<const std::byte*>(operand.data));
  if (host == nullptr) return;
  arrays_.push_back(operand);
  operand.data = host;
}

void HostMirror::compare(std::string_view operation) const {
  const bool rounded = std::ranges::any_of(arrays_, [](const Array& a) { return a.dtype == DType::bfloat16; });
  for (const Array& array : arrays_) {
    const auto* device = static_cast<const std::byte*>(array.data);
    const std::byte* host = nullptr;
    for (const auto& block : blocks_)
      if (device >= block->device && device < block->device + block->host.size())
        host = block->host.data() + (device - block->device);
    std::vector<std::byte> got(static_cast<std::size_t>(array.bytes()));
    stream_.copy_to_host(got.data(), device, got.size());
    double largest = 0.0;
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const double value = std::abs(value_at(host, i, array.dtype));
      if (std::isfinite(value)) largest = std::max(largest, value);
    }
    const double part = rounded ? allowed_bfloat16_difference : allowed_difference;
    const double allowed = is_floating(array.dtype) ? part * largest : 0.0;
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const double value = value_at(got.data(), i, array.dtype), expected = value_at(host, i, array.dtype);
      require(agree(value, expected, allowed),
              "{}: cuda differs from cpu in an operand {} {}: element {} is {:.9g}, on the cpu {:.9g} (largest {:.3g})",
              operation, name_of(array.dtype), array.shape, i, value, expected, largest);
    }
  }
}

}  // namespace tweedie
