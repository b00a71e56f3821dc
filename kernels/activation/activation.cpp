#include "kernels/activation/activation.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

double flops_of(ActivationKind kind) {
  return kind == ActivationKind::relu ? 1.0 : kind == ActivationKind::silu ? 4.0 : 10.0;
}

}  // namespace

std::string_view name_of(ActivationKind kind) {
  constexpr std::string_view names[] = {"silu", "gelu", "gelu_tanh", "relu"};
  return names[static_cast<int>(kind)];
}

void validate(const ActivationForward& arguments) {
  require(static_cast<bool>(arguments.x), "activation_forward: operand x is missing");
  require_shape("activation_forward", "y", arguments.y, arguments.x.shape);
  require_same_dtype("activation_forward", "y", arguments.y, arguments.x);
}
double flops(const ActivationForward& arguments) {
  return flops_of(arguments.kind) * static_cast<double>(arguments.x.count());
}
double bytes_moved(const ActivationForward& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

void validate(const ActivationBackward& arguments) {
  require(static_cast<bool>(arguments.x), "activation_backward: operand x is missing");
  require_shape("activation_backward", "grad_y", arguments.grad_y, arguments.x.shape);
  require_shape("activation_backward", "grad_x", arguments.grad_x, arguments.x.shape);
  require_same_dtype("activation_backward", "grad_y", arguments.grad_y, arguments.x);
  require_same_dtype("activation_backward", "grad_x", arguments.grad_x, arguments.x);
}
double flops(const ActivationBackward& arguments) {
  return 2.0 * flops_of(arguments.kind) * static_cast<double>(arguments.x.count());
}
double bytes_moved(const ActivationBackward& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.x) + bytes_of(arguments.grad_y) + passes * bytes_of(arguments.grad_x);
}

}  // namespace tweedie
