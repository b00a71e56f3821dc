#include "kernels/matmul/gemm_mma.cuh"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/matmul_problem.cuh"

namespace tweedie {

void matmul_tf32_cuda(Stream& stream, const Matmul& arguments) {
  gemm::with_problem<float>(arguments,
                            [&](const auto& problem) { gemm::mma_gemm(stream, "matmul", arguments.c.shape, problem); });
}

}  // namespace tweedie
