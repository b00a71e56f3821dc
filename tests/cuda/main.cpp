// cuda_tests [--list-operations] [--smallest] [--gtest_...]: every CUDA case. It needs a device: a GPU, or vgpu-run.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "kernels/runtime/operation.h"
#include "kernels/runtime/stream.h"
#include "tests/cuda/options.h"

namespace tweedie::testing_tools {

CudaTestOptions& cuda_test_options() {
  static CudaTestOptions options;
  return options;
}

}  // namespace tweedie::testing_tools

int main(int count, char** arguments) {
  auto& options = tweedie::testing_tools::cuda_test_options();
  options.exhaustive = std::getenv("TWEEDIE_EXHAUSTIVE") != nullptr;
  bool list = false;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    options.smallest = options.smallest || argument == "--smallest";
    list = list || argument == "--list-operations";
  }
  if (list) {
    for (const tweedie::OperationBase* operation : tweedie::all_operations())
      if (operation->implemented_on(tweedie::DeviceKind::cuda))
        std::printf("%.*s\n", static_cast<int>(operation->name().size()), operation->name().data());
    return 0;
  }
  testing::InitGoogleTest(&count, arguments);
  if (!testing::GTEST_FLAG(list_tests)) {
    const std::string problem = tweedie::why_unavailable({tweedie::DeviceKind::cuda, 0});
    if (!problem.empty()) {
      std::fprintf(stderr, "cuda_tests: %s; run it under vgpu-run where there is no GPU\n", problem.c_str());
      return 1;
    }
  }
  // Choices that the tests measure are theirs alone.
  const auto choices =
      std::filesystem::temp_directory_path() / ("tweedie-autotune-" + std::to_string(getpid()) + ".json");
  setenv("TWEEDIE_AUTOTUNE_FILE", choices.c_str(), 1);
  const int result = RUN_ALL_TESTS();
  std::error_code error;
  std::filesystem::remove(choices, error);
  return result;
}
