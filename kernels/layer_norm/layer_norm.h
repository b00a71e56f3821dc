#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Layer normalisation over the last axis (Ba et al. 2016) with AdaLN modulation (Peebles and Xie 2023) fused in:
//   h = (x - mean) rstd [gamma[c]] [+ beta[c]],  y = h (1 + scale[n, c]) + shift[n, c]
// x, y (N, T, C): a sample's T tokens share its scale and shift. gamma and beta: both or neither; scale and shift too.
// x, y and their gradients are float32 or bfloat16; statistics, parameters, modulation and their gradients are float32.

/// mean, rstd (N, T) are written for the backward. bytes: x + y; flops: about 8 an element.
struct LayerNormForward {
  Array x, gamma, beta, scale, shift;
  Array y, mean, rstd;
  double epsilon = 1e-5;
};
void validate(const LayerNormForward& arguments);
double flops(const LayerNormForward& arguments);
double bytes_moved(const LayerNormForward& arguments);
extern Operation<LayerNormForward> layer_norm_forward;

/// grad_x (write); grad_gamma, grad_beta (C) accumulate; grad_scale, grad_shift (N, C) overwrite. Each is optional.
/// bytes: x + grad_y + grad_x; flops: about 16 an element.
struct LayerNormBackward {
  Array x, gamma, beta, scale, shift, mean, rstd, grad_y;
  Array grad_x, grad_gamma, grad_beta, grad_scale, grad_shift;
  Write write = Write::overwrite;
};
void validate(const LayerNormBackward& arguments);
double flops(const LayerNormBackward& arguments);
double bytes_moved(const LayerNormBackward& arguments);
extern Operation<LayerNormBackward> layer_norm_backward;

}  // namespace tweedie
