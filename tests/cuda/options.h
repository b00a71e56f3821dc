#pragma once

namespace tweedie::testing_tools {

struct CudaTestOptions {
  bool smallest = false;    // --smallest: of each operation the smallest quick case alone, for the slow checkers
  bool exhaustive = false;  // TWEEDIE_EXHAUSTIVE: the exhaustive cases too
};
CudaTestOptions& cuda_test_options();

}  // namespace tweedie::testing_tools
