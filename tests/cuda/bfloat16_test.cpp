#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/bfloat16_cases.h"
#include "kernels/runtime/cuda_choices.h"
#include "tests/cuda/mutation.h"
#include "tests/cuda/options.h"
#include "tests/kernels/parity.h"

// Every operation that activations flow through, on the quick cases of the registry with bfloat16 operands, against the
// double reference from the same (rounded) values.
namespace tweedie::testing_tools {
namespace {

std::vector<OperationCase> quick_cases() {
  std::vector<OperationCase> cases;
  std::set<std::string> seen;  // with --smallest, the first case of each operation is enough
  for (OperationCase& operation_case : bfloat16_cases())
    if (operation_case.level == CaseLevel::quick &&
        (seen.insert(operation_case.operation).second || !cuda_test_options().smallest))
      cases.push_back(with_mutation(std::move(operation_case)));
  return cases;
}

std::string name_of_parameter(const testing::TestParamInfo<OperationCase>& info) {
  return test_name(info.param, DeviceKind::cuda);
}

class Bfloat16 : public testing::TestWithParam<OperationCase> {};

TEST_P(Bfloat16, AgreesWithReference) {
  const OperationCase& operation_case = GetParam();
  double worst = 0.0;
  for (const unsigned most_blocks : {0, 1}) {  // by as many as the device keeps, and by one
    cuda_choices().most_blocks = most_blocks;
    for (const Alignment alignment : {Alignment::allocator, Alignment::element}) {
      const ParityResult result = check_parity(operation_case, {DeviceKind::cuda, 0}, alignment);
      for (const std::string& failure : result.failures)
        ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "]"
                      << (alignment == Alignment::element ? ", unaligned" : "")
                      << (most_blocks == 1 ? ", by one block: " : ": ") << failure;
      worst = std::max(worst, result.worst);
    }
  }
  cuda_choices() = {};
  RecordProperty("worst_error_over_tolerance", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Quick, Bfloat16, testing::ValuesIn(quick_cases()), name_of_parameter);

}  // namespace
}  // namespace tweedie::testing_tools
