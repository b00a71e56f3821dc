#pragma once

#include <cstdint>

namespace tweedie {

/// Which of two implementations of an operation runs on cuda.
enum class Implementation : std::uint8_t {
  native,   // this project's own kernels
  library,  // cuBLAS for matmul, cuDNN for conv2d; where that cannot be used, the operation throws Error
  fastest,  // of the two, measured once a shape (autotuner.h); native where the library cannot be used
};

/// Choices on cuda, the same for the whole program. What differs from run to run or rounds operands is off unless a
/// program asks.
struct CudaChoices {
  bool tf32 = false;  // float32 products on tensor cores, operands rounded to 10 bits of mantissa
  Implementation matmul = Implementation::native;
  Implementation conv2d = Implementation::native;
  unsigned most_blocks = 0;  // for tests: blocks of a kernel that walks its elements; 0: as many as stay resident
};
CudaChoices& cuda_choices();

}  // namespace tweedie
