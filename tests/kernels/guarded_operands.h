#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/runtime/operation_case.h"
#include "tests/kernels/parity.h"

namespace tweedie::testing_tools {

/// A case's operands on one device: filled (inputs), poisoned (outputs) and framed by guard bands. Values depend on the
/// case and operand alone and are the same on every device, rounded to the operand's dtype; on the reference device
/// floating operands are float64.
class GuardedOperands {
 public:
  GuardedOperands(const OperationCase& operation_case, Stream& stream, Alignment alignment);
  ~GuardedOperands();
  GuardedOperands(const GuardedOperands&) = delete;
  GuardedOperands& operator=(const GuardedOperands&) = delete;

  std::span<const Array> arrays() const { return arrays_; }
  /// Copies the device's memory back; call it once the operation has run. Returns what is wrong with guard bands and
  /// with operands that are only read.
  std::vector<std::string> collect();

  struct Values {
    std::vector<double> values;
    std::vector<bool> unwritten;  // still holds the poison
  };
  /// Operand `index` after collect().
  Values values(std::size_t index) const;

 private:
  struct Block {
    std::vector<std::byte> before, after;  // images of the whole allocation
    void* memory = nullptr;
    std::size_t offset = 0, bytes = 0;  // of the operand inside it
  };

  const OperationCase& case_;
  Stream& stream_;
  std::vector<Array> arrays_;
  std::vector<Block> blocks_;
};

}  // namespace tweedie::testing_tools
