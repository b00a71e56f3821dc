#pragma once

#include "autograd/tensor.h"
#include "kernels/conv2d/conv2d.h"

namespace tweedie {

/// x (N, H, W, I), weight (O, kernel_h, kernel_w, I), bias (O) or undefined, residual (shape of the result) or
/// undefined: conv(x, weight) + bias + residual, (N, OH, OW, O). Weight and bias are float32 beside a bfloat16 x: they
/// are rounded to it, their gradients are not.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry,
              const Tensor& residual = {});

}  // namespace tweedie
