#pragma once

#include <optional>

#include "kernels/activation/activation.h"
#include "kernels/runtime/operation.h"

namespace tweedie {

/// Stride and zero padding of a convolution. The kernel's extents stand in the weight, the output's in y:
/// out = (in + pad_before + pad_after - kernel) / stride + 1 in each direction.
struct Conv2dGeometry {
  int stride = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
};
/// Throws Error where the kernel does not fit into the padded input.
std::int64_t conv2d_output_extent(std::int64_t in, std::int64_t kernel, int stride, int pad_before, int pad_after);

// Three entry points, one a direction; no caller has to know which library layout suits which. Cross-correlation, as in
// every deep-learning library. x (N, H, W, I), weight (O, kernel_h, kernel_w, I), y (N, OH, OW, O): channels last.

/// y = f(conv(x, weight) [+ bias (O)] [+ residual, same shape as y; may be y itself]), f an activation, optional.
/// bytes: x + weight + bias + residual + y; flops: 2 N OH OW O kernel_h kernel_w I.
struct Conv2dForward {
  Array x, weight, bias, residual, y;
  Conv2dGeometry geometry;
  std::optional<ActivationKind> activation;
};
void validate(const Conv2dForward& arguments);
double flops(const Conv2dForward& arguments);
double bytes_moved(const Conv2dForward& arguments);
extern Operation<Conv2dForward> conv2d_forward;

/// grad_x (write) the transposed convolution of grad_y.
struct Conv2dDataGradient {
  Array grad_y, weight, grad_x;
  Conv2dGeometry geometry;
  Write write = Write::overwrite;
};
void validate(const Conv2dDataGradient& arguments);
double flops(const Conv2dDataGradient& arguments);
double bytes_moved(const Conv2dDataGradient& arguments);
extern Operation<Conv2dDataGradient> conv2d_data_gradient;

/// grad_weight (write) the correlation of x and grad_y; grad_bias (O), optional, (write) the sum of grad_y. Both are
/// float32 beside bfloat16 operands: sums that are not rounded.
struct Conv2dFilterGradient {
  Array x, grad_y, grad_weight, grad_bias;
  Conv2dGeometry geometry;
  Write write = Write::accumulate;
};
void validate(const Conv2dFilterGradient& arguments);
double flops(const Conv2dFilterGradient& arguments);
double bytes_moved(const Conv2dFilterGradient& arguments);
extern Operation<Conv2dFilterGradient> conv2d_filter_gradient;

}  // namespace tweedie
