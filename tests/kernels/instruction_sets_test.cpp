#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <utility>

#include "kernels/all_cases.h"
#include "tests/kernels/parity.h"

// The vectorised kernels choose their instruction set at run time; a machine that has the widest runs the others here.
namespace tweedie::testing_tools {
namespace {

class InstructionSets : public testing::TestWithParam<std::pair<const char*, std::int64_t>> {
 protected:
  void SetUp() override {
    const std::int64_t target = GetParam().second;
    if (target != HWY_SCALAR && (hwy::SupportedTargets() & target) == 0)
      GTEST_SKIP() << "this processor has no " << GetParam().first;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();  // chooses anew at the next call
  }
};

TEST_P(InstructionSets, AgreeWithReference) {
  for (const OperationCase& operation_case : all_cases()) {
    if (operation_case.level != CaseLevel::quick) continue;
    for (const std::string& failure : check_parity(operation_case, {DeviceKind::cpu, 0}, Alignment::element).failures)
      ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "] with " << GetParam().first << ": "
                    << failure;
  }
}

INSTANTIATE_TEST_SUITE_P(All, InstructionSets,
                         testing::Values(std::pair("scalar", HWY_SCALAR), std::pair("AVX2", HWY_AVX2),
                                         std::pair("AVX-512", HWY_AVX3)),
                         [](const auto& info) {
                           std::string name;
                           for (const char c : std::string_view(info.param.first))
                             if (c != '-') name += c;
                           return name;
                         });

}  // namespace
}  // namespace tweedie::testing_tools
