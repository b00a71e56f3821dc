#include "kernels/softmax/softmax.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const SoftmaxForward& arguments) {
  require_rank("softmax_forward", "x", arguments.x, 2);
  require(arguments.x.shape[1] > 0, "softmax_forward: x has shape {}, expected at least one column", arguments.x.shape);
  require_shape("softmax_forward", "y", arguments.y, arguments.x.shape);
  require_same_dtype("softmax_forward", "y", arguments.y, arguments.x);
}
double flops(const SoftmaxForward& arguments) {
  return 5.0 * static_cast<double>(arguments.x.count());
}
double bytes_moved(const SoftmaxForward& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

void validate(const SoftmaxBackward& arguments) {
  require_rank("softmax_backward", "y", arguments.y, 2);
  require_shape("softmax_backward", "grad_y", arguments.grad_y, arguments.y.shape);
  require_shape("softmax_backward", "grad_x", arguments.grad_x, arguments.y.shape);
  require_same_dtype("softmax_backward", "grad_y", arguments.grad_y, arguments.y);
  require_same_dtype("softmax_backward", "grad_x", arguments.grad_x, arguments.y);
}
double flops(const SoftmaxBackward& arguments) {
  return 4.0 * static_cast<double>(arguments.y.count());
}
double bytes_moved(const SoftmaxBackward& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.y) + bytes_of(arguments.grad_y) + passes * bytes_of(arguments.grad_x);
}

}  // namespace tweedie
