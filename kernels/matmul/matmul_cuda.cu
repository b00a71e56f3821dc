#include "kernels/matmul/matmul_cuda.h"

#include "kernels/matmul/gemm_simt.cuh"
#include "kernels/matmul/matmul_problem.cuh"
#include "kernels/runtime/cuda_choices.h"

namespace tweedie {

void matmul_float32_cuda(Stream& stream, const Matmul& arguments) {
  gemm::with_problem<float>(
      arguments, [&](const auto& problem) { gemm::simt_gemm(stream, "matmul", arguments.c.shape, problem); });
}

void matmul_native_cuda(Stream& stream, const Matmul& arguments) {
  if (arguments.c.count() == 0) return;
  if (arguments.a.dtype == DType::bfloat16) return matmul_bfloat16_cuda(stream, arguments);
  require(arguments.a.dtype == DType::float32, "matmul: a is {}, expected float32 or bfloat16 on cuda",
          name_of(arguments.a.dtype));
  if (cuda_choices().tf32) return matmul_tf32_cuda(stream, arguments);
  matmul_float32_cuda(stream, arguments);
}

}  // namespace tweedie
