#pragma once

#include "kernels/conv2d/conv2d.h"

// The CUDA implementations of convolution. Operands are those of the contract, validated.
namespace tweedie::conv2d_cuda {

/// By this project's own kernels: bfloat16 on tensor cores, float32 on CUDA cores or, where TF32 is asked for, on
/// tensor cores.
void forward_native(Stream& stream, const Conv2dForward& arguments);
void data_gradient_native(Stream& stream, const Conv2dDataGradient& arguments);
void filter_gradient_native(Stream& stream, const Conv2dFilterGradient& arguments);

/// By cuDNN, with deterministic algorithms that form sums of products in float32; TF32 only where it is asked for. In
/// bfloat16 a forward convolution with bias and residual is rounded twice: their sum, and the result. Throws Error
/// where the library cannot be used (library.h) or takes no such convolution: a filter gradient of bfloat16 operands.
void forward_cudnn(Stream& stream, const Conv2dForward& arguments);
void data_gradient_cudnn(Stream& stream, const Conv2dDataGradient& arguments);
void filter_gradient_cudnn(Stream& stream, const Conv2dFilterGradient& arguments);

void forward_bfloat16(Stream& stream, const Conv2dForward& arguments);
void data_gradient_bfloat16(Stream& stream, const Conv2dDataGradient& arguments);
void filter_gradient_bfloat16(Stream& stream, const Conv2dFilterGradient& arguments);

void forward_tf32(Stream& stream, const Conv2dForward& arguments);
void data_gradient_tf32(Stream& stream, const Conv2dDataGradient& arguments);
void filter_gradient_tf32(Stream& stream, const Conv2dFilterGradient& arguments);

}  // namespace tweedie::conv2d_cuda
