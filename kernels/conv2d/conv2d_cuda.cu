#include "kernels/conv2d/conv2d_gemm.cuh"
#include "kernels/matmul/gemm_simt.cuh"

namespace tweedie {
namespace {

void forward_cuda(Stream& stream, const Conv2dForward& arguments) {
  if (arguments.y.count() == 0) return;
  gemm::simt_gemm(stream, "conv2d_forward", arguments.y.shape, conv2d_gemm::forward_problem<float>(arguments));
}

void data_gradient_cuda(Stream& stream, const Conv2dDataGradient& arguments) {
  if (arguments.grad_x.count() == 0) return;
  for (int row = 0; row < arguments.geometry.stride; ++row)
    for (int column = 0; column < arguments.geometry.stride; ++column) {
      const auto problem = conv2d_gemm::data_gradient_problem<float>(arguments, row, column);
      if (problem.extents.m > 0) gemm::simt_gemm(stream, "conv2d_data_gradient", arguments.grad_x.shape, problem);
    }
}

void filter_gradient_cuda(Stream& stream, const Conv2dFilterGradient& arguments) {
  if (arguments.grad_weight.count() == 0) return;
  gemm::simt_gemm(stream, "conv2d_filter_gradient", arguments.grad_weight.shape,
                  conv2d_gemm::filter_gradient_problem<float>(arguments));
}

const bool registered = conv2d_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        conv2d_data_gradient.implement(DeviceKind::cuda, &data_gradient_cuda) &&
                        conv2d_filter_gradient.implement(DeviceKind::cuda, &filter_gradient_cuda);

}  // namespace
}  // namespace tweedie
