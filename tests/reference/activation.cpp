#include "tests/reference/activation.h"

#include <cmath>
#include <numbers>

namespace tweedie {
double reference::activated(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return x / (1.0 + std::exp(-x));
    case ActivationKind::gelu:
      return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
    case ActivationKind::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case ActivationKind::relu:
      return x > 0.0 ? x : 0.0;
  }
  fail("activation: unknown kind {}", static_cast<int>(kind));
}

namespace {

double derivative(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu: {
      const double s = 1.0 / (1.0 + std::exp(-x));
      return s * (1.0 + x * (1.0 - s));
    }
    case ActivationKind::gelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
    case ActivationKind::gelu_tanh: {
      const double k = std::sqrt(2.0 / std::numbers::pi);
      const double t = std::tanh(k * (x + 0.044715 * x * x * x));
      return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * k * (1.0 + 3.0 * 0.044715 * x * x);
    }
    case ActivationKind::relu:
      return x > 0.0 ? 1.0 : 0.0;
  }
  fail("activation: unknown kind {}", static_cast<int>(kind));
}

void forward(Stream&, const ActivationForward& arguments) {
  const double* x = arguments.x.as<double>();
  double* y = arguments.y.as<double>();
  for (std::int64_t i = 0; i < arguments.x.count(); ++i) y[i] = reference::activated(arguments.kind, x[i]);
}

void backward(Stream&, const ActivationBackward& arguments) {
  const double* x = arguments.x.as<double>();
  const double* grad_y = arguments.grad_y.as<double>();
  double* grad_x = arguments.grad_x.as<double>();
  for (std::int64_t i = 0; i < arguments.x.count(); ++i) {
    const double gradient = grad_y[i] * derivative(arguments.kind, x[i]);
    grad_x[i] = (arguments.write == Write::accumulate ? grad_x[i] : 0.0) + gradient;
  }
}

const bool registered = activation_forward.implement(DeviceKind::reference, &forward) &&
                        activation_backward.implement(DeviceKind::reference, &backward);

}  // namespace
}  // namespace tweedie
