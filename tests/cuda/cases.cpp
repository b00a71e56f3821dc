#include "tests/cuda/cases.h"

#include <set>

#include "kernels/conv2d/conv2d_cases.h"
#include "kernels/matmul/matmul_cases.h"
#include "tests/cuda/options.h"
#include "tests/kernels/parity.h"

namespace tweedie::testing_tools {

std::vector<OperationCase> quick_product_cases() {
  std::vector<OperationCase> cases;
  std::set<std::string> seen;
  for (auto& list : {matmul_cases(), conv2d_cases()})
    for (const OperationCase& operation_case : list)
      if (operation_case.level == CaseLevel::quick &&
          (seen.insert(operation_case.operation).second || !cuda_test_options().smallest))
        cases.push_back(operation_case);
  return cases;
}

std::vector<OperationCase> exact_cases(std::vector<OperationCase> cases) {
  std::erase_if(cases, [](const OperationCase& c) {
    return c.label.find("silu") != std::string::npos || c.label.find("gelu") != std::string::npos;
  });
  return cases;
}

std::string name_of_parameter(const testing::TestParamInfo<OperationCase>& info) {
  return test_name(info.param, DeviceKind::cuda);
}

}  // namespace tweedie::testing_tools
