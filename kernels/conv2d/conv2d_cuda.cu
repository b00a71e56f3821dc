#include "kernels/conv2d/conv2d_cuda.h"

#include "kernels/conv2d/conv2d_gemm.cuh"
#include "kernels/conv2d/conv2d_steps_cuda.h"
#include "kernels/matmul/gemm_simt.cuh"
#include "kernels/runtime/cuda_choices.h"

namespace tweedie::conv2d_cuda {
namespace {

/// Whether float32 operands go to CUDA cores; throws Error at a type that no kernel takes.
bool on_cuda_cores(const Array& operand) {
  require(operand.dtype == DType::float32 || operand.dtype == DType::bfloat16,
          "conv2d: operands are {}, expected float32 or bfloat16 on cuda", name_of(operand.dtype));
  return operand.dtype == DType::float32 && !cuda_choices().tf32;
}

}  // namespace

void forward_native(Stream& stream, const Conv2dForward& arguments) {
  if (on_cuda_cores(arguments.x))
    return conv2d_gemm::forward<float>(arguments, [&](auto... parts) { gemm::simt_gemm(stream, parts...); });
  (arguments.x.dtype == DType::bfloat16 ? forward_bfloat16 : forward_tf32)(stream, arguments);
}

void data_gradient_native(Stream& stream, const Conv2dDataGradient& arguments) {
  if (on_cuda_cores(arguments.grad_y))
    return conv2d_gemm::data_gradient<float>(arguments, [&](auto... parts) { gemm::simt_gemm(stream, parts...); });
  (arguments.grad_y.dtype == DType::bfloat16 ? data_gradient_bfloat16 : data_gradient_tf32)(stream, arguments);
}

void filter_gradient_native(Stream& stream, const Conv2dFilterGradient& arguments) {
  if (!on_cuda_cores(arguments.x))
    return (arguments.x.dtype == DType::bfloat16 ? filter_gradient_bfloat16 : filter_gradient_tf32)(stream, arguments);
  // The gradient of the bias is a column of the product. Where that would be the only one of its tiles it is summed
  // apart, since CUDA cores have no arithmetic to spare; tensor cores have, and grad_y is then read once.
  Conv2dFilterGradient filter = arguments;
  if (filter.grad_bias && filter.grad_weight.shape.count_between(1, 4) % gemm::SimtTile<64>::extent == 0) {
    bias_gradient(stream, filter.grad_y, filter.grad_bias, filter.write);
    filter.grad_bias = {};
  }
  conv2d_gemm::filter_gradient<float>(filter, [&](auto... parts) { gemm::simt_gemm(stream, parts...); });
}

}  // namespace tweedie::conv2d_cuda
