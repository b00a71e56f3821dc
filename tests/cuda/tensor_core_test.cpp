#include <gtest/gtest.h>

#include "kernels/empirical_score/empirical_score_cases.h"
#include "kernels/matmul/matmul.h"
#include "kernels/runtime/cuda_choices.h"
#include "tests/cuda/cases.h"
#include "tests/cuda/mutation.h"
#include "tests/cuda/options.h"
#include "tests/kernels/parity.h"

// The TF32 paths of matmul and convolution, on the cases of their registry (bfloat16_test.cpp has the others).
namespace tweedie::testing_tools {
namespace {

class TensorCores : public testing::TestWithParam<OperationCase> {
 protected:
  ~TensorCores() override { cuda_choices() = {}; }
  void expect_parity(const OperationCase& operation_case) {
    for (const Alignment alignment : {Alignment::allocator, Alignment::element})
      for (const std::string& failure : check_parity(operation_case, {DeviceKind::cuda, 0}, alignment).failures)
        ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "]"
                      << (alignment == Alignment::element ? ", unaligned: " : ": ") << failure;
  }
};

// Small integers survive the rounding to TF32, and their products and sums are exact.
TEST_P(TensorCores, Tf32IsExactOnSmallIntegers) {
  OperationCase operation_case = GetParam();
  for (Operand& operand : operation_case.operands) operand.fill = Fill::small_integers;
  cuda_choices().tf32 = true;
  expect_parity(operation_case);
}

std::vector<OperationCase> mutable_cases() {
  std::vector<OperationCase> cases = exact_cases(quick_product_cases());
  for (OperationCase& operation_case : cases) operation_case = with_mutation(std::move(operation_case));
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Quick, TensorCores, testing::ValuesIn(mutable_cases()), name_of_parameter);

// 1 + 2^-11 lies halfway between two TF32 numbers and is rounded away from zero; in float32 it stays.
TEST(TensorCoreNumerics, Tf32IsUsedOnlyWhenAsked) {
  Stream& stream = default_stream({DeviceKind::cuda, 0});
  const float value = 1.0f + 0x1p-11f, one = 1.0f;
  float* memory = static_cast<float*>(stream.allocator().allocate(3 * sizeof(float)));
  stream.copy_from_host(memory, &value, sizeof(float));
  stream.copy_from_host(memory + 1, &one, sizeof(float));
  const auto product = [&](bool tf32) {
    cuda_choices().tf32 = tf32;
    const Shape single{1, 1, 1};
    matrix_multiply(stream, {.a = {memory, single}, .b = {memory + 1, single}, .c = {memory + 2, single}});
    float result = 0.0f;
    stream.copy_to_host(&result, memory + 2, sizeof(float));
    cuda_choices() = {};
    return result;
  };
  EXPECT_EQ(product(false), value);
  EXPECT_EQ(product(true), 1.0f + 0x1p-10f);
  stream.allocator().release(memory);
}

TEST(TensorCoreNumerics, Tf32LeavesTheEmpiricalScoreAlone) {
  int tried = 0;
  for (const OperationCase& operation_case : empirical_score_cases()) {
    if (operation_case.level != CaseLevel::quick || operation_case.operation != "evaluate_empirical_score") continue;
    if (++tried > (cuda_test_options().smallest ? 1 : 3)) break;
    cuda_choices().tf32 = true;
    for (const std::string& failure :
         check_parity(operation_case, {DeviceKind::cuda, 0}, Alignment::allocator).failures)
      ADD_FAILURE() << operation_case.label << ": " << failure;
    cuda_choices() = {};
  }
  EXPECT_GT(tried, 0);
}

}  // namespace
}  // namespace tweedie::testing_tools
