#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/runtime/operation_case.h"

namespace tweedie::testing_tools {

/// The quick cases of matmul and conv2d; with --smallest, the first of each operation.
std::vector<OperationCase> quick_product_cases();

/// Those that are exact on small integers: without a function at the end whose values are no integers.
std::vector<OperationCase> exact_cases(std::vector<OperationCase> cases);

std::string name_of_parameter(const testing::TestParamInfo<OperationCase>& info);

}  // namespace tweedie::testing_tools
