#pragma once

#include "kernels/conv2d/conv2d.h"

// Convolutions where oneDNN's direct ones are slow: into very few channels, and filter gradients from very few channels
// or of 1 x 1 kernels. Each is a sequence of small register-held products (kernels/matmul/panel_gemm.h) on rows that
// stay in cache. Operands are those of the contract, validated and not empty.
namespace tweedie::conv2d_panels {

/// Few output channels: z (pixel, tap * out) = x weight' for all taps at once, then y gathers one column of z a tap.
bool takes(const Conv2dForward& arguments);
void forward(const Conv2dForward& arguments);

/// Few input channels, few output channels (stride 1, with the roles of x and grad_y exchanged) or a 1 x 1 kernel; the
/// other side's channels are a multiple of a vector. With roles exchanged, grad_bias is left to the caller.
bool takes(const Conv2dFilterGradient& arguments);
void filter_gradient(const Conv2dFilterGradient& arguments);

}  // namespace tweedie::conv2d_panels
