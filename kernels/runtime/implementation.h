#pragma once

#include <string>
#include <string_view>

namespace tweedie {

/// Which implementation of an operation runs on cuda: this project's kernels, the vendor's library (cuBLAS, cuDNN), or,
/// with `automatic`, whichever was faster the first time that its shape came up (autotune.h).
enum class Implementation : unsigned char { native, library, automatic };

/// Choices about arithmetic that are off or fixed unless a program asks, and that its header prints.
struct CudaChoices {
  Implementation matmul = Implementation::native;
  Implementation convolution = Implementation::native;
  bool tf32 = false;        // float32 products on tensor cores, operands rounded to 10 bits of mantissa
  std::string tuning_file;  // where `automatic` keeps its choices between runs; empty: nowhere
};
CudaChoices& cuda_choices();

std::string_view name_of(Implementation implementation);

}  // namespace tweedie
