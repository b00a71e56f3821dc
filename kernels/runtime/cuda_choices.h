#pragma once

namespace tweedie {

/// Choices about arithmetic on cuda that are off unless a program asks.
struct CudaChoices {
  bool tf32 = false;  // float32 products on tensor cores, operands rounded to 10 bits of mantissa
};
CudaChoices& cuda_choices();

}  // namespace tweedie
