#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

/// silu: x / (1 + exp(-x)). gelu: x Phi(x) with the exact error function. gelu_tanh: its tanh approximation
/// (Hendrycks and Gimpel 2016). relu: max(x, 0), derivative 0 at 0. All operands float32 or all bfloat16.
enum class ActivationKind : std::uint8_t { silu, gelu, gelu_tanh, relu };
std::string_view name_of(ActivationKind kind);

/// y = f(x), same shape; y may be x. bytes: x + y.
struct ActivationForward {
  ActivationKind kind = ActivationKind::silu;
  Array x, y;
};
void validate(const ActivationForward& arguments);
double flops(const ActivationForward& arguments);
double bytes_moved(const ActivationForward& arguments);
extern Operation<ActivationForward> activation_forward;

/// grad_x (write) grad_y f'(x). grad_x may be grad_y when overwriting. bytes: x + grad_y + grad_x.
struct ActivationBackward {
  ActivationKind kind = ActivationKind::silu;
  Array x, grad_y, grad_x;
  Write write = Write::overwrite;
};
void validate(const ActivationBackward& arguments);
double flops(const ActivationBackward& arguments);
double bytes_moved(const ActivationBackward& arguments);
extern Operation<ActivationBackward> activation_backward;

}  // namespace tweedie
