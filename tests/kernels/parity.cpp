#include "tests/kernels/parity.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "tests/kernels/guarded_operands.h"
#include "tests/kernels/tolerances.h"

namespace tweedie::testing_tools {
namespace {

/// More elements than this are not all zero by chance.
constexpr std::size_t enough_to_prove = 8;

bool holds_integers(const OperationCase& operation_case) {
  bool any = false;
  for (const Operand& operand : operation_case.operands) {
    if (!is_floating(operand.dtype) || operand.role == Role::output) continue;
    if (operand.fill == Fill::normal || operand.fill == Fill::positive) return false;
    any = any || operand.fill == Fill::small_integers;
  }
  return any;
}

bool same_kind(double got, double expected) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::isfinite(got);
}

void compare(const Operand& operand, const Tolerance& tolerance, bool exact, int steps,
             const GuardedOperands::Values& got, const GuardedOperands::Values& expected, ParityResult& result) {
  double largest = 0.0;
  for (const double value : expected.values)
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  const bool all_zero = std::all_of(expected.values.begin(), expected.values.end(), [](double v) { return v == 0.0; });
  if (is_floating(operand.dtype) && all_zero && expected.values.size() > enough_to_prove)
    result.failures.push_back(fmt::format("{}: the reference is all zero, which proves nothing", operand.name));

  std::size_t wrong = 0;
  std::string first;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double a = got.values[i], b = expected.values[i];
    std::string problem;
    if (expected.unwritten[i]) {
      problem = "the reference left it unwritten";
    } else if (got.unwritten[i]) {
      problem = "it was left unwritten";
    } else if ((exact && operand.dtype != DType::bfloat16) || !is_floating(operand.dtype)) {
      if (!(a == b || (std::isnan(a) && std::isnan(b)))) problem = "integers must agree exactly";
    } else if (!same_kind(a, b)) {
      problem = "finite, infinite and NaN must stand in the same places";
    } else if (std::isfinite(b)) {
      const double allowed = allowed_error(tolerance, operand.dtype, b, largest, exact, steps);
      const double error = std::abs(a - b);
      if (error > 0.0) result.worst = std::max(result.worst, error / allowed);
      if (error > allowed) problem = fmt::format("the error {:.3g} is above {:.3g}", error, allowed);
    }
    if (problem.empty()) continue;
    if (wrong++ == 0) first = fmt::format("element {}: got {:.9g}, expected {:.9g}: {}", i, a, b, problem);
  }
  if (wrong > 0)
    result.failures.push_back(fmt::format("{} {}: {} of {} elements are wrong; {}", operand.name, operand.shape, wrong,
                                          got.values.size(), first));
}

}  // namespace

ParityResult check_parity(const OperationCase& operation_case, Device device, Alignment alignment, int steps) {
  ParityResult result;
  Stream& stream = default_stream(device);
  Stream& reference_stream = default_stream({DeviceKind::reference, 0});
  GuardedOperands got(operation_case, stream, alignment);
  GuardedOperands expected(operation_case, reference_stream, Alignment::allocator);
  if (operation_case.prepare) {
    operation_case.prepare(stream, got.arrays());
    operation_case.prepare(reference_stream, expected.arrays());
  }
  operation_case.run(stream, got.arrays());
  operation_case.run(reference_stream, expected.arrays());
  for (const std::string& failure : got.collect()) result.failures.push_back(failure);
  for (const std::string& failure : expected.collect()) result.failures.push_back("the reference: " + failure);

  const bool integers = holds_integers(operation_case);
  bool any_output = false;
  for (std::size_t i = 0; i < operation_case.operands.size(); ++i) {
    const Operand& operand = operation_case.operands[i];
    if (operand.role == Role::input) continue;
    any_output = true;
    const Tolerance& tolerance = tolerance_of(operation_case.operation, operand.name, operand.dtype);
    compare(operand, tolerance, integers && tolerance.exact_on_integers, steps, got.values(i), expected.values(i),
            result);
  }
  if (!any_output) result.failures.push_back("the case has no output");
  return result;
}

std::string test_name(const OperationCase& operation_case, DeviceKind kind) {
  std::string name = fmt::format("{}_{}_{}", name_of(kind), operation_case.operation, operation_case.label);
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

}  // namespace tweedie::testing_tools
