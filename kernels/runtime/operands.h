#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/runtime/array.h"
#include "kernels/runtime/stream.h"

// What can be said of the operands of any operation: where they stand in its Arguments, and how one that computes in
// float32 takes bfloat16.
namespace tweedie {

/// While it lives, the default-constructed Arrays of this thread are noted.
class OperandSearch {
 public:
  OperandSearch();
  ~OperandSearch();
  OperandSearch(const OperandSearch&) = delete;
  OperandSearch& operator=(const OperandSearch&) = delete;
  /// Of the Arrays noted, those inside the object: how many bytes behind its start.
  std::vector<std::size_t> inside(const void* object, std::size_t bytes) const;

 private:
  friend void* absent_operand(Array* array);
  std::vector<const Array*> noted_;
};

/// How many bytes behind the start of a struct its members of type Array stand. Those that it refers to (a span) are
/// not among them.
template <class Arguments>
std::span<const std::size_t> operand_offsets() {
  static const std::vector<std::size_t> offsets = [] {
    const OperandSearch search;
    const Arguments absent{};
    return search.inside(&absent, sizeof(absent));
  }();
  return offsets;
}

/// The Array that stands `offset` bytes behind the start of a struct.
inline Array& operand_at(void* arguments, std::size_t offset) {
  return *reinterpret_cast<Array*>(static_cast<std::byte*>(arguments) + offset);
}
inline const Array& operand_at(const void* arguments, std::size_t offset) {
  return *reinterpret_cast<const Array*>(static_cast<const std::byte*>(arguments) + offset);
}

template <class Arguments>
bool has_bfloat16(const Arguments& arguments) {
  for (const std::size_t offset : operand_offsets<Arguments>()) {
    const Array& operand = operand_at(&arguments, offset);
    if (operand && operand.dtype == DType::bfloat16) return true;
  }
  return false;
}

/// float32 copies of bfloat16 operands in memory of the host. Operands that are one array, such as an output in place,
/// share their copy.
class WideOperands {
 public:
  explicit WideOperands(Stream& stream) : stream_(stream) {}
  ~WideOperands();
  WideOperands(const WideOperands&) = delete;
  WideOperands& operator=(const WideOperands&) = delete;

  /// `arguments` with the copies in place of its bfloat16 operands.
  template <class Arguments>
  Arguments widened(Arguments arguments) {
    for (const std::size_t offset : operand_offsets<Arguments>()) widen(operand_at(&arguments, offset));
    return arguments;
  }
  /// Rounds what was written to the copies, to nearest even, into the operands.
  void round();

 private:
  struct Copy {
    Array narrow, wide;
  };
  void widen(Array& operand);

  Stream& stream_;
  std::vector<Copy> copies_;
};

}  // namespace tweedie
