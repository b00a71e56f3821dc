#include "tests/kernels/guarded_operands.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/runtime/random.h"

namespace tweedie::testing_tools {
namespace {

constexpr std::size_t guard_bytes = 256;
constexpr std::byte guard_byte{0xff};  // NaN in every floating type, -1 as an integer

// NaNs with payloads of their own, so that an element nobody wrote can be told from a computed NaN.
constexpr std::uint32_t poison_float32 = 0x7fd5a5a5u;
constexpr std::uint64_t poison_float64 = 0x7ffd5a5a5a5a5a5au;
constexpr std::uint16_t poison_bfloat16 = 0x7fd5u;
constexpr std::uint64_t poison_int64 = 0x5a5a5a5a5a5a5a5au;

std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return value;
}

std::uint16_t to_bfloat16(double value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);  // to nearest, ties to even
}

double from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Element `index` of an operand whose stream of random words is (key, operand).
double fill_value(const Operand& operand, const RandomKey& key, std::uint32_t stream, std::int64_t index) {
  const auto position = static_cast<std::uint32_t>(index);
  switch (operand.fill) {
    case Fill::normal: {
      const double radius = std::sqrt(-2.0 * std::log(uniform(key, stream, 2 * position)));
      const double angle = 2.0 * std::numbers::pi * uniform(key, stream, 2 * position + 1);
      return operand.scale * radius * std::cos(angle) + operand.offset;
    }
    case Fill::positive:
      return operand.scale * (0.25 + uniform(key, stream, position));
    case Fill::small_integers:
      return std::floor(7.0 * uniform(key, stream, position)) - 3.0;
    case Fill::indices:
      return std::floor(operand.scale * uniform(key, stream, position));
    case Fill::ramp:
      return static_cast<double>(index);
    case Fill::ones:
      return 1.0;
    case Fill::zeros:
      return 0.0;
  }
  fail("unknown fill {}", static_cast<int>(operand.fill));
}

template <class T>
void store_as(std::byte* to, std::int64_t index, T value) {
  std::memcpy(to + index * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
}

template <class T>
T load_as(const std::byte* from, std::int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

/// Writes `value`, rounded to the case's dtype, as `dtype` (that dtype, or float64 on the reference).
void store(std::byte* to, std::int64_t index, double value, DType case_dtype, DType dtype) {
  if (case_dtype == DType::float32) value = static_cast<float>(value);
  if (case_dtype == DType::bfloat16) value = from_bfloat16(to_bfloat16(value));
  switch (dtype) {
    case DType::float32:
      return store_as(to, index, static_cast<float>(value));
    case DType::float64:
      return store_as(to, index, value);
    case DType::bfloat16:
      return store_as(to, index, to_bfloat16(value));
    case DType::int64:
      return store_as(to, index, static_cast<std::int64_t>(value));
    case DType::uint8:
      return store_as(to, index, static_cast<std::uint8_t>(value));
  }
}

/// Bytes have no value to spare for poison, so the two devices start from different ones.
std::uint8_t poison_uint8(DeviceKind kind) {
  return kind == DeviceKind::reference ? 0xa5 : 0x5a;
}

void poison(std::byte* to, std::int64_t index, DType dtype, DeviceKind kind) {
  switch (dtype) {
    case DType::float32:
      return store_as(to, index, poison_float32);
    case DType::float64:
      return store_as(to, index, poison_float64);
    case DType::bfloat16:
      return store_as(to, index, poison_bfloat16);
    case DType::int64:
      return store_as(to, index, poison_int64);
    case DType::uint8:
      return store_as(to, index, poison_uint8(kind));
  }
}

}  // namespace

GuardedOperands::GuardedOperands(const OperationCase& operation_case, Stream& stream, Alignment alignment)
    : case_(operation_case), stream_(stream) {
  const DeviceKind kind = stream.device().kind;
  const RandomKey key{.seed = hash(operation_case.operation + "|" + operation_case.label)};
  for (std::size_t index = 0; index < operation_case.operands.size(); ++index) {
    const Operand& operand = operation_case.operands[index];
    const bool widened = kind == DeviceKind::reference && is_floating(operand.dtype);
    const DType dtype = widened ? DType::float64 : operand.dtype;
    Block block;
    block.offset = guard_bytes + (alignment == Alignment::element ? size_of(dtype) : 0);
    block.bytes = static_cast<std::size_t>(operand.shape.count()) * size_of(dtype);
    block.before.assign(block.offset + block.bytes + guard_bytes, guard_byte);
    std::byte* data = block.before.data() + block.offset;
    for (std::int64_t i = 0; i < operand.shape.count(); ++i) {
      if (operand.role == Role::output)
        poison(data, i, dtype, kind);
      else
        store(data, i, fill_value(operand, key, static_cast<std::uint32_t>(index), i), operand.dtype, dtype);
    }
    block.memory = stream.allocator().allocate(block.before.size());
    stream.copy_from_host(block.memory, block.before.data(), block.before.size());
    arrays_.push_back({static_cast<std::byte*>(block.memory) + block.offset, operand.shape, dtype});
    blocks_.push_back(std::move(block));
  }
  stream.synchronize();
}

GuardedOperands::~GuardedOperands() {
  for (const Block& block : blocks_) stream_.allocator().release(block.memory);
}

std::vector<std::string> GuardedOperands::collect() {
  std::vector<std::string> failures;
  stream_.synchronize();
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    Block& block = blocks_[index];
    const Operand& operand = case_.operands[index];
    block.after.resize(block.before.size());
    stream_.copy_to_host(block.after.data(), block.memory, block.after.size());
    for (std::size_t i = 0; i < block.after.size(); ++i) {
      if (block.after[i] == block.before[i]) continue;
      const auto position = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(block.offset);
      const bool inside = position >= 0 && position < static_cast<std::int64_t>(block.bytes);
      if (inside && operand.role != Role::input) continue;
      failures.push_back(
          inside ? fmt::format("operand {} is only read, but its byte {} was changed", operand.name, position)
                 : fmt::format("a write outside operand {} {}: byte {} of {}", operand.name, operand.shape, position,
                               block.bytes));
      break;
    }
  }
  return failures;
}

GuardedOperands::Values GuardedOperands::values(std::size_t index) const {
  const std::byte* data = blocks_[index].after.data() + blocks_[index].offset;
  const auto count = static_cast<std::size_t>(arrays_[index].count());
  Values out{std::vector<double>(count), std::vector<bool>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::int64_t>(i);
    switch (arrays_[index].dtype) {
      case DType::float32:
        out.values[i] = load_as<float>(data, at);
        out.unwritten[i] = load_as<std::uint32_t>(data, at) == poison_float32;
        break;
      case DType::float64:
        out.values[i] = load_as<double>(data, at);
        out.unwritten[i] = load_as<std::uint64_t>(data, at) == poison_float64;
        break;
      case DType::bfloat16:
        out.values[i] = from_bfloat16(load_as<std::uint16_t>(data, at));
        out.unwritten[i] = load_as<std::uint16_t>(data, at) == poison_bfloat16;
        break;
      case DType::int64:
        out.values[i] = static_cast<double>(load_as<std::int64_t>(data, at));
        out.unwritten[i] = load_as<std::uint64_t>(data, at) == poison_int64;
        break;
      case DType::uint8:
        out.values[i] = static_cast<double>(load_as<std::uint8_t>(data, at));
        break;
    }
  }
  return out;
}

}  // namespace tweedie::testing_tools
