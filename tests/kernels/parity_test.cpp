#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "kernels/all_cases.h"
#include "kernels/runtime/operation.h"
#include "tests/kernels/parity.h"

namespace tweedie::testing_tools {
namespace {

std::vector<OperationCase> cases_of(CaseLevel level) {
  std::vector<OperationCase> cases;
  for (OperationCase& operation_case : all_cases())
    if (operation_case.level == level) cases.push_back(std::move(operation_case));
  return cases;
}

std::string name_of_parameter(const testing::TestParamInfo<OperationCase>& info) {
  return test_name(info.param, DeviceKind::cpu);
}

/// The cpu backend; tests/cuda has the same for cuda.
class Parity : public testing::TestWithParam<OperationCase> {};

TEST_P(Parity, AgreesWithReference) {
  const OperationCase& operation_case = GetParam();
  double worst = 0.0;
  // Operands may be aligned as the allocator gives them or start anywhere.
  for (const Alignment alignment : {Alignment::allocator, Alignment::element}) {
    const ParityResult result = check_parity(operation_case, {DeviceKind::cpu, 0}, alignment);
    for (const std::string& failure : result.failures)
      ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "] on cpu"
                    << (alignment == Alignment::element ? ", unaligned: " : ": ") << failure;
    worst = std::max(worst, result.worst);
  }
  RecordProperty("worst_error_over_tolerance", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Quick, Parity, testing::ValuesIn(cases_of(CaseLevel::quick)), name_of_parameter);
// Listed only on demand: ctest -C exhaustive -L exhaustive.
INSTANTIATE_TEST_SUITE_P(Exhaustive, Parity,
                         testing::ValuesIn(std::getenv("TWEEDIE_EXHAUSTIVE") != nullptr
                                               ? cases_of(CaseLevel::exhaustive)
                                               : std::vector<OperationCase>{}),
                         name_of_parameter);

TEST(Cases, CoverEveryOperation) {
  std::set<std::string, std::less<>> covered;
  for (const OperationCase& operation_case : all_cases())
    if (operation_case.level == CaseLevel::quick) covered.insert(operation_case.operation);
  for (const OperationBase* operation : all_operations()) {
    EXPECT_TRUE(covered.contains(operation->name())) << operation->name() << " has no quick case";
    EXPECT_TRUE(operation->implemented_on(DeviceKind::reference)) << operation->name() << " has no reference";
    EXPECT_TRUE(operation->implemented_on(DeviceKind::cpu)) << operation->name() << " is missing on cpu";
  }
}

TEST(Cases, HaveUniqueNamesAndNameAnOperation) {
  std::set<std::string, std::less<>> names, operations;
  for (const OperationBase* operation : all_operations()) operations.emplace(operation->name());
  for (const OperationCase& operation_case : all_cases()) {
    const std::string name =
        test_name(operation_case, DeviceKind::cpu) + std::to_string(static_cast<int>(operation_case.level));
    EXPECT_TRUE(names.insert(name).second) << operation_case.operation << ": twice " << operation_case.label;
    EXPECT_TRUE(operations.contains(operation_case.operation)) << operation_case.operation << " is no operation";
  }
}

}  // namespace
}  // namespace tweedie::testing_tools
