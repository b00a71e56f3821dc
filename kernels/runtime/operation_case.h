#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/runtime/array.h"
#include "kernels/runtime/stream.h"

namespace tweedie {

/// What an operand of a case holds before the operation runs. Outputs are poisoned with NaN (integers with a large
/// value), so an element nobody wrote is seen.
enum class Fill : std::uint8_t {
  normal,          // standard normal times `scale`, plus `offset`
  positive,        // uniform in (0.25, 1.25) times `scale`
  small_integers,  // integers in [-3, 3]: sums of products stay exact, results compare bit for bit
  indices,         // integers in [0, scale)
  ramp,            // 0, 1, 2, ...
  ones,
  zeros,
};

enum class Role : std::uint8_t { input, output, accumulated };  // accumulated: read and written (Write::accumulate)

struct Operand {
  std::string name;
  Shape shape;
  Role role = Role::input;
  Fill fill = Fill::normal;
  DType dtype = DType::float32;  // floating operands become float64 on the reference backend
  double scale = 1.0;
  double offset = 0.0;
};

/// quick: run in every test run. exhaustive: behind the test label `exhaustive`. benchmark: a realistic size, timed by
/// kernel_bench and not tested.
enum class CaseLevel : std::uint8_t { quick, exhaustive, benchmark };

/// One call of one operation on operands of given shapes. From the same cases come the parity tests (each backend
/// against the double reference), the benchmarks and the support table. An operation without a case fails the tests.
struct OperationCase {
  std::string operation;          // Operation::name()
  std::string label;              // printable parameters, unique for the operation: "n=2 hw=7x5 c=33 g=3"
  std::vector<Operand> operands;  // in the order that `run` expects
  std::function<void(Stream&, std::span<const Array>)> run;
  CaseLevel level = CaseLevel::quick;
  std::function<void(Stream&, std::span<const Array>)> prepare = {};  // once, before `run`; no part of what is timed
};

}  // namespace tweedie
