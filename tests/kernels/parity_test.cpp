#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "kernels/all_cases.h"
#include "kernels/runtime/operation.h"
#include "tests/kernels/parity.h"

namespace tweedie::testing_tools {
namespace {

struct DeviceCase {
  OperationCase operation_case;
  DeviceKind kind = DeviceKind::cpu;
};
void PrintTo(const DeviceCase& device_case, std::ostream* out) {
  *out << test_name(device_case.operation_case, device_case.kind);
}

std::vector<DeviceKind> backends() {
  std::vector<DeviceKind> kinds = {DeviceKind::cpu};
  if (has_backend(DeviceKind::cuda)) kinds.push_back(DeviceKind::cuda);
  return kinds;
}

std::vector<DeviceCase> cases_of(CaseLevel level) {
  std::vector<DeviceCase> cases;
  for (const DeviceKind kind : backends())
    for (OperationCase& operation_case : all_cases())
      if (operation_case.level == level) cases.push_back({std::move(operation_case), kind});
  return cases;
}

std::string name_of_parameter(const testing::TestParamInfo<DeviceCase>& info) {
  return test_name(info.param.operation_case, info.param.kind);
}

class Parity : public testing::TestWithParam<DeviceCase> {};

TEST_P(Parity, AgreesWithReference) {
  const auto& [operation_case, kind] = GetParam();
  double worst = 0.0;
  // Kernels on the host must take operands of any alignment; those of a GPU are aligned by its allocator.
  for (const Alignment alignment : {Alignment::allocator, Alignment::element}) {
    if (kind == DeviceKind::cuda && alignment == Alignment::element) continue;
    const ParityResult result = check_parity(operation_case, {kind, 0}, alignment);
    for (const std::string& failure : result.failures)
      ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "] on " << name_of(kind)
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
                                               : std::vector<DeviceCase>{}),
                         name_of_parameter);

TEST(Cases, CoverEveryOperationOnEveryBackend) {
  std::set<std::string, std::less<>> covered;
  for (const OperationCase& operation_case : all_cases())
    if (operation_case.level == CaseLevel::quick) covered.insert(operation_case.operation);
  for (const OperationBase* operation : all_operations()) {
    EXPECT_TRUE(covered.contains(operation->name())) << operation->name() << " has no quick case";
    EXPECT_TRUE(operation->implemented_on(DeviceKind::reference)) << operation->name() << " has no reference";
    for (const DeviceKind kind : backends())
      EXPECT_TRUE(operation->implemented_on(kind)) << operation->name() << " is missing on " << name_of(kind);
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
