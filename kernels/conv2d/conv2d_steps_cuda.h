#pragma once

#include "kernels/conv2d/conv2d.h"

// What a convolution by cuDNN's entry points leaves over, for float32 and bfloat16: biases, residuals, and padding that
// differs from side to side, of which cuDNN knows none. Native filter gradients leave some biases over too.
namespace tweedie::conv2d_cuda {

/// y = [bias (O)] + [residual, as y; may be y itself]: what the convolution is added to. One of the two at least.
void seed_output(Stream& stream, const Array& bias, const Array& residual, const Array& y);

/// padded (N, top + H + bottom, left + W + right, I): x (N, H, W, I) with zeros around it.
void pad_image(Stream& stream, const Array& x, const Array& padded, const Conv2dGeometry& geometry);
/// x: the part of `padded` that pad_image took from it.
void crop_image(Stream& stream, const Array& padded, const Array& x, const Conv2dGeometry& geometry);

/// grad_bias (O) (write) the sum of grad_y (..., O) over all positions.
void bias_gradient(Stream& stream, const Array& grad_y, const Array& grad_bias, Write write);

}  // namespace tweedie::conv2d_cuda
