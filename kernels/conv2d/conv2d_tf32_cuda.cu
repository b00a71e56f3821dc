#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/conv2d_gemm.cuh"
#include "kernels/matmul/gemm_mma.cuh"

namespace tweedie::conv2d_cuda {

void forward_tf32(Stream& stream, const Conv2dForward& arguments) {
  conv2d_gemm::forward<float>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}
void data_gradient_tf32(Stream& stream, const Conv2dDataGradient& arguments) {
  conv2d_gemm::data_gradient<float>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}
void filter_gradient_tf32(Stream& stream, const Conv2dFilterGradient& arguments) {
  conv2d_gemm::filter_gradient<float>(arguments, [&](auto... parts) { gemm::mma_gemm(stream, parts...); });
}

}  // namespace tweedie::conv2d_cuda
