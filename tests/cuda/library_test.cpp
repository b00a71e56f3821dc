#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/bfloat16_cases.h"
#include "kernels/conv2d/conv2d_cases.h"
#include "kernels/matmul/matmul_cases.h"
#include "kernels/runtime/autotuner.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/library.h"
#include "tests/cuda/cases.h"
#include "tests/kernels/parity.h"

// matmul by cuBLAS and convolution by cuDNN, on the cases of their registry. A case is skipped only where the library
// cannot be used, and says why.
namespace tweedie::testing_tools {
namespace {

constexpr Device cuda{DeviceKind::cuda, 0};

CudaLibrary library_of(const OperationCase& operation_case) {
  return operation_case.operation == matrix_multiply.name() ? CudaLibrary::cublas : CudaLibrary::cudnn;
}

/// Whether the libraries do not take a case: a sum of nothing, or a filter gradient in bfloat16.
bool is_native(const OperationCase& operation_case) {
  for (const Operand& operand : operation_case.operands)
    if (operand.shape.count() == 0) return true;
  return operation_case.operation == conv2d_filter_gradient.name() &&
         operation_case.operands[0].dtype == DType::bfloat16;
}

/// The passes that store a result: one that starts it from bias and residual, where cuDNN knows neither, the library's
/// own, and one for the activation.
int steps_of(const OperationCase& operation_case) {
  const auto has = [&](std::string_view word) { return operation_case.label.find(word) != std::string::npos; };
  const bool convolution = operation_case.operation == conv2d_forward.name();
  return 1 + (convolution && has("bias") && (has("residual") || has("in-place")) ? 1 : 0) +
         (has("silu") || has("gelu") || has("relu") ? 1 : 0);
}

class Libraries : public testing::TestWithParam<OperationCase> {
 protected:
  void SetUp() override {
    if (const std::string problem = why_unavailable(library_of(GetParam()), cuda); !problem.empty())
      GTEST_SKIP() << name_of(library_of(GetParam())) << ": " << problem;
    cuda_choices() = {.matmul = Implementation::library, .conv2d = Implementation::library};
  }
  ~Libraries() override { cuda_choices() = {}; }
  void expect_parity(const OperationCase& operation_case) {
    for (const Alignment alignment : {Alignment::allocator, Alignment::element}) {
      // The kernels around the libraries' own: by one block, or by as many as the device keeps.
      cuda_choices().most_blocks = alignment == Alignment::allocator ? 1 : 0;
      const std::int64_t before = calls_of(library_of(operation_case));
      const ParityResult result = check_parity(operation_case, cuda, alignment, steps_of(operation_case));
      EXPECT_EQ(calls_of(library_of(operation_case)) - before, is_native(operation_case) ? 0 : 1);
      for (const std::string& failure : result.failures)
        ADD_FAILURE() << operation_case.operation << " [" << operation_case.label << "]"
                      << (alignment == Alignment::element ? ", unaligned: " : ": ") << failure;
      worst_ = std::max(worst_, result.worst);
    }
    RecordProperty("worst_error_over_tolerance", std::to_string(worst_));
  }

 private:
  double worst_ = 0.0;
};

TEST_P(Libraries, AgreeWithReference) {
  expect_parity(GetParam());
}

TEST_P(Libraries, AgreeWithReferenceInBfloat16) {
  expect_parity(bfloat16_cases({GetParam()}).at(0));
}

class ExactLibraries : public Libraries {};

// Small integers survive the rounding to TF32, and their products and sums are exact.
TEST_P(ExactLibraries, AreExactOnSmallIntegersInTf32) {
  OperationCase operation_case = GetParam();
  for (Operand& operand : operation_case.operands) operand.fill = Fill::small_integers;
  cuda_choices().tf32 = true;
  expect_parity(operation_case);
}

INSTANTIATE_TEST_SUITE_P(Quick, Libraries, testing::ValuesIn(quick_product_cases()), name_of_parameter);
INSTANTIATE_TEST_SUITE_P(Quick, ExactLibraries, testing::ValuesIn(exact_cases(quick_product_cases())),
                         name_of_parameter);

/// The choices of the autotuner, by key.
nlohmann::json recorded() {
  std::ifstream in(autotuner().file());
  nlohmann::json choices = nlohmann::json::object();
  if (!in) return choices;
  const nlohmann::json cards = nlohmann::json::parse(in);
  for (const auto& card : cards) choices.update(card);
  return choices;
}

class Autotuning : public testing::Test {
 protected:
  void SetUp() override {
    for (const CudaLibrary library : {CudaLibrary::cublas, CudaLibrary::cudnn})
      if (const std::string problem = why_unavailable(library, cuda); !problem.empty())
        GTEST_SKIP() << name_of(library) << ": " << problem;
    std::filesystem::remove(autotuner().file());
    cuda_choices() = {.matmul = Implementation::fastest, .conv2d = Implementation::fastest};
  }
  ~Autotuning() override { cuda_choices() = {}; }
};

std::int64_t library_calls() {
  return calls_of(CudaLibrary::cublas) + calls_of(CudaLibrary::cudnn);
}

// Cases that add to their results: had a measurement added too, they would be wrong.
TEST_F(Autotuning, MeasuresAShapeOnceAndLeavesItsResultAlone) {
  const Conv2dCase convolution{.n = 1, .h = 5, .w = 5, .in = 3, .out = 4, .geometry = {1, 1, 1, 1, 1}};
  const std::vector<OperationCase> cases = {
      make_case(MatmulCase{.m = 9, .n = 11, .k = 13, .bias = true, .write = Write::accumulate}),
      forward_case(convolution, true, Residual::in_place), data_gradient_case(convolution, Write::accumulate),
      filter_gradient_case(convolution, true, Write::accumulate)};
  for (const OperationCase& operation_case : cases) {
    const std::size_t before = recorded().size();
    for (const Alignment alignment : {Alignment::allocator, Alignment::element})
      for (const std::string& failure : check_parity(operation_case, cuda, alignment).failures)
        ADD_FAILURE() << operation_case.operation << ": " << failure;
    const nlohmann::json choices = recorded();
    EXPECT_EQ(choices.size(), before + 1) << operation_case.operation;
    const std::int64_t calls = library_calls();
    check_parity(operation_case, cuda, Alignment::allocator);
    EXPECT_LE(library_calls() - calls, 1) << "measured again";
  }
  const nlohmann::json choices = recorded();
  for (const auto& [key, choice] : choices.items()) {
    EXPECT_GT(choice.at("native_ms").get<double>(), 0.0) << key;
    EXPECT_GT(choice.at("library_ms").get<double>(), 0.0) << key;
  }
}

TEST_F(Autotuning, CapturesMeasureNothing) {
  Stream& stream = default_stream(cuda);
  const Shape shape{1, 21, 21};
  const auto bytes = static_cast<std::size_t>(shape.count()) * sizeof(float);
  std::vector<float> ones(bytes / sizeof(float), 1.0f), product(ones.size());
  void* memory = stream.allocator().allocate(3 * 2048);
  const auto at = [&](int i) { return Array{static_cast<std::byte*>(memory) + i * 2048, shape}; };
  stream.copy_from_host(at(0).data, ones.data(), bytes);
  stream.copy_from_host(at(1).data, ones.data(), bytes);
  const std::size_t before = recorded().size();
  const std::int64_t calls = library_calls();
  const std::unique_ptr<Graph> graph = stream.make_graph();
  graph->run([&] { matrix_multiply(stream, {.a = at(0), .b = at(1), .bias = {}, .c = at(2)}); });
  stream.copy_to_host(product.data(), at(2).data, bytes);
  EXPECT_EQ(product, std::vector<float>(product.size(), 21.0f));
  EXPECT_EQ(recorded().size(), before);
  EXPECT_EQ(library_calls(), calls);
  stream.allocator().release(memory);
}

}  // namespace
}  // namespace tweedie::testing_tools
