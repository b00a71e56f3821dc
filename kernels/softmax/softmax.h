#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// All operands of either direction are float32, or all are bfloat16.

/// y[r, :] = exp(x[r, :] - max) / sum: x, y (rows, columns); y may be x. Rows of -inf alone are an error of the caller.
/// bytes: x + y; flops: 5 an element.
struct SoftmaxForward {
  Array x, y;
};
void validate(const SoftmaxForward& arguments);
double flops(const SoftmaxForward& arguments);
double bytes_moved(const SoftmaxForward& arguments);
extern Operation<SoftmaxForward> softmax_forward;

/// grad_x[r, :] (write) y (grad_y - <y, grad_y>). bytes: y + grad_y + grad_x.
struct SoftmaxBackward {
  Array y, grad_y, grad_x;
  Write write = Write::overwrite;
};
void validate(const SoftmaxBackward& arguments);
double flops(const SoftmaxBackward& arguments);
double bytes_moved(const SoftmaxBackward& arguments);
extern Operation<SoftmaxBackward> softmax_backward;

}  // namespace tweedie
