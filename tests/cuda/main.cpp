// cuda_tests [--smallest] [--record-launches FILE] [--gtest_...]: every CUDA case. It needs a device: a GPU, or
// vgpu-run. cuda_tests --list-operations | --list-kernels: what it tests. --record-launches writes a line for each
// kernel that a test launched: kernel, test, milliseconds of the test. TWEEDIE_MUTATE=NAME plants an error
// (mutation.h).
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "kernels/runtime/operation.h"
#include "kernels/runtime/stream.h"
#include "tests/cuda/mutation.h"
#include "tests/cuda/options.h"

namespace tweedie::testing_tools {

CudaTestOptions& cuda_test_options() {
  static CudaTestOptions options;
  return options;
}

namespace {

/// Writes which kernels each test launched.
class LaunchRecorder : public testing::EmptyTestEventListener {
 public:
  explicit LaunchRecorder(const std::string& path) : file_(path) {}
  void OnTestStart(const testing::TestInfo&) override { launched_kernels().clear(); }
  void OnTestEnd(const testing::TestInfo& test) override {
    for (const auto& [kernel, launches] : launched_kernels())
      file_ << kernel << '\t' << test.test_suite_name() << '.' << test.name() << '\t' << test.result()->elapsed_time()
            << std::endl;
  }

 private:
  std::ofstream file_;
};

void list_operations() {
  for (const OperationBase* operation : all_operations())
    if (operation->implemented_on(DeviceKind::cuda))
      std::printf("%.*s\n", static_cast<int>(operation->name().size()), operation->name().data());
}

}  // namespace
}  // namespace tweedie::testing_tools

int main(int count, char** arguments) {
  using namespace tweedie::testing_tools;
  CudaTestOptions& options = cuda_test_options();
  options.exhaustive = std::getenv("TWEEDIE_EXHAUSTIVE") != nullptr;
  std::string launches;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    options.smallest = options.smallest || argument == "--smallest";
    if (argument == "--record-launches" && i + 1 < count) launches = arguments[++i];
    if (argument == "--list-operations") return list_operations(), 0;
    if (argument == "--list-kernels") {
      for (const std::string& kernel : all_kernels()) std::puts(kernel.c_str());
      return 0;
    }
  }
  try {
    check_mutation();
  } catch (const tweedie::Error& error) {
    std::fprintf(stderr, "cuda_tests: %s\n", error.what());
    return 2;
  }
  testing::InitGoogleTest(&count, arguments);
  if (!testing::GTEST_FLAG(list_tests)) {
    const std::string problem = tweedie::why_unavailable({tweedie::DeviceKind::cuda, 0});
    if (!problem.empty()) {
      std::fprintf(stderr, "cuda_tests: %s; run it under vgpu-run where there is no GPU\n", problem.c_str());
      return 1;
    }
  }
  if (!launches.empty()) testing::UnitTest::GetInstance()->listeners().Append(new LaunchRecorder(launches));
  // Choices that the tests measure are theirs alone.
  const auto choices =
      std::filesystem::temp_directory_path() / ("tweedie-autotune-" + std::to_string(getpid()) + ".json");
  setenv("TWEEDIE_AUTOTUNE_FILE", choices.c_str(), 1);
  const int result = RUN_ALL_TESTS();
  std::error_code error;
  std::filesystem::remove(choices, error);
  return result;
}
