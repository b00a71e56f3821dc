#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/conv2d_gemm.cuh"
#include "kernels/matmul/gemm_mma.cuh"

namespace tweedie::conv2d_cuda {

void forward_bfloat16(Stream& stream, const Conv2dForward& arguments) {
  conv2d_gemm::forward<__nv_bfloat16>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}
void data_gradient_bfloat16(Stream& stream, const Conv2dDataGradient& arguments) {
  conv2d_gemm::data_gradient<__nv_bfloat16>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}
void filter_gradient_bfloat16(Stream& stream, const Conv2dFilterGradient& arguments) {
  conv2d_gemm::filter_gradient<__nv_bfloat16>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}

}  // namespace tweedie::conv2d_cuda
