#pragma once

#include <string>
#include <vector>

#include "kernels/runtime/operation_case.h"

namespace tweedie::testing_tools {

/// Where operands start: on 64 bytes as the allocator gives them, or one element further, as a view into a tensor may.
enum class Alignment : std::uint8_t { allocator, element };

struct ParityResult {
  std::vector<std::string> failures;  // empty where the backend agrees
  double worst = 0.0;                 // the largest error as a fraction of its tolerance
};

/// Runs `operation_case` on `device` and on the double reference from the same values and compares everything it
/// writes, by the table in tolerances.h; NaN and infinities must stand in the same places. It also fails where an
/// element is left unwritten, a guard band around an operand or an operand that is only read has changed, a read beyond
/// an operand's end came through (guard bands hold NaN), or the reference is all zero, which would prove nothing.
/// `steps`: in how many the implementation goes, each rounding to the operands' dtype.
ParityResult check_parity(const OperationCase& operation_case, Device device, Alignment alignment, int steps = 1);

/// Letters, digits and underscores only: a GoogleTest name.
std::string test_name(const OperationCase& operation_case, DeviceKind kind);

}  // namespace tweedie::testing_tools
