#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Group normalisation (Wu and He 2018, eq. 1-2) with what stands around it in a U-Net fused in:
//   u = x + input_shift[n, c]                      (a time embedding added before the norm; optional)
//   h = (u - mean) rstd gamma[c] + beta[c]         (mean and biased variance over a group's channels and all positions)
//   m = h (1 + scale[n, c]) + shift[n, c]          (adaptive normalisation; optional, both or neither)
//   y = silu(m) or m
// x, y (N, S, C) with S the number of positions, channels last; groups divide C. Statistics are two-pass or Welford in
// float32 or wider, never E[x^2] - E[x]^2 of float32 sums.
// x, y and their gradients are float32 or bfloat16; statistics, parameters, what is given for each sample and channel
// and the gradients of these are float32.

/// mean, rstd (N, groups) are written for the backward. y may be x.
/// bytes: x + y + the small operands; flops: about 8 an element, 12 with silu.
struct GroupNormForward {
  Array x, input_shift, gamma, beta, scale, shift;
  Array y, mean, rstd;
  std::int64_t groups = 1;
  double epsilon = 1e-5;
  bool silu = false;
};
void validate(const GroupNormForward& arguments);
double flops(const GroupNormForward& arguments);
double bytes_moved(const GroupNormForward& arguments);
extern Operation<GroupNormForward> group_norm_forward;

/// grad_x (N, S, C) (write); grad_input_shift, grad_scale, grad_shift (N, C) overwrite, each optional;
/// grad_gamma, grad_beta (C), both or neither, accumulate. The forward's h and m are recomputed from x.
/// bytes: x + grad_y + grad_x and the small operands; flops: about 20 an element, 28 with silu.
struct GroupNormBackward {
  Array x, input_shift, gamma, beta, scale, shift, mean, rstd, grad_y;
  Array grad_x, grad_input_shift, grad_gamma, grad_beta, grad_scale, grad_shift;
  std::int64_t groups = 1;
  bool silu = false;
  Write write = Write::overwrite;
};
void validate(const GroupNormBackward& arguments);
double flops(const GroupNormBackward& arguments);
double bytes_moved(const GroupNormBackward& arguments);
extern Operation<GroupNormBackward> group_norm_backward;

}  // namespace tweedie
