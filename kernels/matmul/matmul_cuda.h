#pragma once

#include "kernels/matmul/matmul.h"

// The CUDA implementations of matmul, also for other operations. Operands are those of the contract, not validated.
namespace tweedie {

/// By this project's own kernels: bfloat16 on tensor cores, float32 on CUDA cores or, where TF32 is asked for, on
/// tensor cores.
void matmul_native_cuda(Stream& stream, const Matmul& arguments);

/// By cuBLASLt, with the same numerics: float32 sums, rounded once; TF32 only where it is asked for. Throws Error where
/// the library cannot be used (library.h) or takes no such product.
void matmul_cublas(Stream& stream, const Matmul& arguments);

/// Float32 on CUDA cores, whatever the choices are: for results that a rounding of operands would spoil. c is not
/// empty.
void matmul_float32_cuda(Stream& stream, const Matmul& arguments);
void matmul_bfloat16_cuda(Stream& stream, const Matmul& arguments);
void matmul_tf32_cuda(Stream& stream, const Matmul& arguments);

}  // namespace tweedie
