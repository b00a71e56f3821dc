#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "kernels/all_cases.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/operation.h"
#include "tests/cuda/mutation.h"
#include "tests/cuda/options.h"
#include "tests/kernels/parity.h"

// Every case of every operation on cuda against the double reference.
namespace tweedie::testing_tools {
namespace {

std::int64_t size_of_case(const OperationCase& operation_case) {
  std::int64_t elements = 0;
  for (const Operand& operand : operation_case.operands) elements += operand.shape.count();
  return elements;
}

bool implemented(const OperationCase& operation_case) {
  for (const OperationBase* operation : all_operations())
    if (operation->name() == operation_case.operation) return operation->implemented_on(DeviceKind::cuda);
  return false;
}

/// The cases of `level`; of each operation the smallest alone with --smallest.
std::vector<OperationCase> cases_of(CaseLevel level) {
  std::vector<OperationCase> cases;
  std::map<std::string, std::size_t, std::less<>> place;
  for (OperationCase& operation_case : all_cases()) {
    if (operation_case.level != level || !implemented(operation_case)) continue;
    const auto [found, first] = place.emplace(operation_case.operation, cases.size());
    if (first || !cuda_test_options().smallest)
      cases.push_back(std::move(operation_case));
    else if (size_of_case(operation_case) < size_of_case(cases[found->second]))
      cases[found->second] = std::move(operation_case);
  }
  for (OperationCase& operation_case : cases) operation_case = with_mutation(std::move(operation_case));
  return cases;
}

class CudaParity : public testing::TestWithParam<OperationCase> {};

TEST_P(CudaParity, AgreesWithReference) {
  const OperationCase& operation_case = GetParam();
  double worst = 0.0;
  const auto check = [&](Alignment alignment, const char* how) {
    const ParityResult result = check_parity(operation_case, {DeviceKind::cuda, 0}, alignment);
    for (const std::string& failure : result.failures)
      ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "] on cuda" << how << ": "
                    << failure;
    worst = std::max(worst, result.worst);
  };
  check(Alignment::allocator, "");
  check(Alignment::element, ", unaligned");
  // One block walks all elements, as the blocks of a full device do with many more.
  cuda_choices().most_blocks = 1;
  check(Alignment::allocator, ", by one block");
  check(Alignment::element, ", unaligned, by one block");
  cuda_choices() = {};
  RecordProperty("worst_error_over_tolerance", std::to_string(worst));
}

std::string name_of_parameter(const testing::TestParamInfo<OperationCase>& info) {
  return test_name(info.param, DeviceKind::cuda);
}

INSTANTIATE_TEST_SUITE_P(Quick, CudaParity, testing::ValuesIn(cases_of(CaseLevel::quick)), name_of_parameter);
INSTANTIATE_TEST_SUITE_P(Exhaustive, CudaParity,
                         testing::ValuesIn(cuda_test_options().exhaustive ? cases_of(CaseLevel::exhaustive)
                                                                          : std::vector<OperationCase>{}),
                         name_of_parameter);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CudaParity);

TEST(CudaOperations, HaveAnImplementationAndACase) {
  std::set<std::string, std::less<>> covered;
  for (const OperationCase& operation_case : cases_of(CaseLevel::quick)) covered.insert(operation_case.operation);
  std::string missing;
  for (const OperationBase* operation : all_operations()) {
    if (!operation->implemented_on(DeviceKind::cuda))
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", operation->name());
    else
      EXPECT_TRUE(covered.contains(operation->name())) << operation->name() << " has no quick case";
  }
  EXPECT_EQ(missing, "") << "not implemented on cuda";
}

}  // namespace
}  // namespace tweedie::testing_tools
