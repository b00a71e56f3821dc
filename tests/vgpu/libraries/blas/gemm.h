// Column-major D = alpha op(A) op(B) + beta C, with every operand's range checked first.
#pragma once
#include <cuda_runtime_api.h>
#include <library_types.h>

#include <functional>
#include <string>
#include <vector>

#include "libraries/values.h"

namespace tweedie::vgpu::libraries {

struct Matrix {
  const void* pointer = nullptr;
  Type type = Type::f32;
  int64_t rows = 0, columns = 0, ld = 0;  // as stored, column-major
  int64_t batch_stride = 0;
  bool row_major = false;
};
struct Gemm {
  const char* call = "gemm";
  bool transpose_a = false, transpose_b = false;
  Matrix a, b, c, d;
  double alpha = 1, beta = 0;
  const void* alpha_device = nullptr;  // read at run time instead of the value
  const void* beta_device = nullptr;
  Type scalar = Type::f32;
  int64_t batch = 1;
  // Lt's epilogue, applied to a value of row `row` of D.
  const void* bias = nullptr;
  Type bias_type = Type::f32;
  enum class Activation { none, relu, gelu } activation = Activation::none;
};

enum class Verdict { good, bad_argument, unsupported };
// Checks shapes and leading dimensions; a problem is reported.
Verdict check(const Gemm& gemm);
cudaError_t run(const Gemm& gemm);  // at execution
cudaError_t submit(cudaStream_t stream, const Gemm& gemm);

Type type_of(cudaDataType_t type);

}  // namespace tweedie::vgpu::libraries
