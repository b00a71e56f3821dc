#include "kernels/runtime/operands.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/runtime/parallel.h"

namespace tweedie {
namespace {

thread_local OperandSearch* running_search = nullptr;

constexpr std::int64_t grain = 16384;

std::uint32_t wide_bits(std::uint16_t narrow) {
  return static_cast<std::uint32_t>(narrow) << 16;
}

std::uint16_t rounded(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, upper = bits >> 16;
  // A NaN whose mantissa lies below what is kept must not become infinite; others keep their bits.
  const std::uint32_t not_a_number = (upper & 0x7f) == 0 ? upper | 0x40 : upper;
  return static_cast<std::uint16_t>(std::isnan(value) ? not_a_number : nearest);
}

}  // namespace

OperandSearch::OperandSearch() {
  running_search = this;
}
OperandSearch::~OperandSearch() {
  running_search = nullptr;
}

std::vector<std::size_t> OperandSearch::inside(const void* object, std::size_t bytes) const {
  std::vector<std::size_t> offsets;
  const auto* start = static_cast<const std::byte*>(object);
  for (const Array* array : noted_) {
    const auto* at = reinterpret_cast<const std::byte*>(array);
    if (at >= start && at < start + bytes) offsets.push_back(static_cast<std::size_t>(at - start));
  }
  return offsets;
}

void* absent_operand(Array* array) {
  if (running_search != nullptr) running_search->noted_.push_back(array);
  return nullptr;
}

WideOperands::~WideOperands() {
  for (const Copy& copy : copies_) stream_.allocator().release(copy.wide.data);
}

void WideOperands::widen(Array& operand) {
  if (!operand || operand.dtype != DType::bfloat16) return;
  const auto same = std::ranges::find_if(copies_, [&](const Copy& copy) {
    return copy.narrow.data == operand.data && copy.narrow.count() == operand.count();
  });
  Array wide{.data = nullptr, .shape = operand.shape, .dtype = DType::float32};
  if (same != copies_.end()) {
    wide.data = same->wide.data;
  } else {
    wide.data = stream_.allocator().allocate(static_cast<std::size_t>(wide.bytes()));
    copies_.push_back({operand, wide});
    const auto* from = static_cast<const std::uint16_t*>(operand.data);
    auto* to = wide.as<float>();
    parallel_for(operand.count(), grain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) to[i] = std::bit_cast<float>(wide_bits(from[i]));
    });
  }
  operand = wide;
}

void WideOperands::round() {
  for (const Copy& copy : copies_) {
    const auto* from = copy.wide.as<float>();
    auto* to = static_cast<std::uint16_t*>(copy.narrow.data);
    parallel_for(copy.narrow.count(), grain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) to[i] = rounded(from[i]);
    });
  }
}

}  // namespace tweedie
