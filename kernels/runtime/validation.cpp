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

/// The cpu has no kernels for bfloat16: it computes in float32 from the same values.
std::shared_ptr<std::vector<float>> widened(const std::byte* bfloat16, std::int64_t count) {
  const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    (*values)[static_cast<std::size_t>(i)] = static_cast<float>(value_at(bfloat16, i, DType::bfloat16));
  return values;
}

/// Padding behind a dtype may still hold an address that once stood there. What follows such a one is no array: the
/// rank then is the last extent of the next, which is 0.
bool may_be_operand(const Array& array) {
  return array.shape.rank() >= 1 && array.shape.rank() <= Shape::max_rank && name_of(array.dtype) != "unknown";
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

void HostMirror::redirect(std::byte* object, std::size_t bytes) {
  std::size_t next = 0;
  for (std::size_t at = 0; at + sizeof(Array) <= bytes; at = next) {
    next = at + alignof(Array);
    void* address = nullptr;
    std::memcpy(&address, object + at, sizeof(address));
    if (address == nullptr) continue;
    std::byte* host = host_address(static_cast<const std::byte*>(address));
    if (host == nullptr) continue;
    Array array;
    std::memcpy(static_cast<void*>(&array), object + at, sizeof(Array));
    if (!may_be_operand(array)) continue;
    next = at + sizeof(Array);
    arrays_.push_back(array);
    if (array.dtype != DType::bfloat16) {
      std::memcpy(object + at, &host, sizeof(host));
      continue;
    }
    // Operands that are one array, such as an output in place, share their copy.
    const auto same = std::find_if(arrays_.begin(), arrays_.end(), [&](const Array& other) {
      return other.data == array.data && other.dtype == array.dtype && other.count() == array.count();
    });
    Array copy = array;
    copy.dtype = DType::float32;
    if (same != arrays_.end() - 1) {
      copy.data = (same + 1)->data;
    } else {
      const auto values = widened(host, array.count());
      kept_.push_back(values);
      copy.data = values->data();
    }
    arrays_.push_back(copy);
    std::memcpy(object + at, static_cast<const void*>(&copy), sizeof(Array));
  }
}

void HostMirror::compare(std::string_view operation) const {
  const bool rounded = std::ranges::any_of(arrays_, [](const Array& a) { return a.dtype == DType::bfloat16; });
  for (std::size_t at = 0; at < arrays_.size(); ++at) {
    const Array& array = arrays_[at];
    const auto* device = static_cast<const std::byte*>(array.data);
    const std::byte* host = nullptr;
    DType host_dtype = array.dtype;
    if (array.dtype == DType::bfloat16) {
      const Array& copy = arrays_[++at];
      host = static_cast<const std::byte*>(copy.data);
      host_dtype = copy.dtype;
    }
    for (const auto& block : blocks_)
      if (host == nullptr && device >= block->device && device < block->device + block->host.size())
        host = block->host.data() + (device - block->device);
    std::vector<std::byte> got(static_cast<std::size_t>(array.bytes()));
    stream_.copy_to_host(got.data(), device, got.size());
    double largest = 0.0;
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const double value = std::abs(value_at(host, i, host_dtype));
      if (std::isfinite(value)) largest = std::max(largest, value);
    }
    const double part = rounded ? allowed_bfloat16_difference : allowed_difference;
    const double allowed = is_floating(array.dtype) ? part * largest : 0.0;
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const double value = value_at(got.data(), i, array.dtype), expected = value_at(host, i, host_dtype);
      require(agree(value, expected, allowed),
              "{}: cuda differs from cpu in an operand {} {}: element {} is {:.9g}, on the cpu {:.9g} (largest {:.3g})",
              operation, name_of(array.dtype), array.shape, i, value, expected, largest);
    }
  }
}

}  // namespace tweedie
