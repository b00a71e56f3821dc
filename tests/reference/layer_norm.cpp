#include "kernels/layer_norm/layer_norm.h"

#include <cmath>

namespace tweedie {
namespace {

double value_or(const Array& array, std::int64_t index, double otherwise) {
  return array ? array.as<double>()[index] : otherwise;
}

void forward(Stream&, const LayerNormForward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], tokens = arguments.x.shape[1], channels = arguments.x.shape[2];
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t row = n * tokens + t;
      const double* x = arguments.x.as<double>() + row * channels;
      double mean = 0.0, variance = 0.0;
      for (std::int64_t c = 0; c < channels; ++c) mean += x[c] / static_cast<double>(channels);
      for (std::int64_t c = 0; c < channels; ++c)
        variance += (x[c] - mean) * (x[c] - mean) / static_cast<double>(channels);
      const double rstd = 1.0 / std::sqrt(variance + arguments.epsilon);
      arguments.mean.as<double>()[row] = mean;
      arguments.rstd.as<double>()[row] = rstd;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double h = (x[c] - mean) * rstd * value_or(arguments.gamma, c, 1.0) + value_or(arguments.beta, c, 0.0);
        arguments.y.as<double>()[row * channels + c] = h * (1.0 + value_or(arguments.scale, n * channels + c, 0.0)) +
                                                       value_or(arguments.shift, n * channels + c, 0.0);
      }
    }
}

void backward(Stream&, const LayerNormBackward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], tokens = arguments.x.shape[1], channels = arguments.x.shape[2];
  for (const Array& output : {arguments.grad_scale, arguments.grad_shift})
    if (output)
      for (std::int64_t i = 0; i < output.count(); ++i) output.as<double>()[i] = 0.0;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t row = n * tokens + t;
      const double mean = arguments.mean.as<double>()[row], rstd = arguments.rstd.as<double>()[row];
      const double* x = arguments.x.as<double>() + row * channels;
      const double* grad_y = arguments.grad_y.as<double>() + row * channels;
      const auto gradient = [&](std::int64_t c) {
        return grad_y[c] * (1.0 + value_or(arguments.scale, n * channels + c, 0.0)) * value_or(arguments.gamma, c, 1.0);
      };
      double mean_gradient = 0.0, mean_product = 0.0;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double x_hat = (x[c] - mean) * rstd;
        const double modulation = 1.0 + value_or(arguments.scale, n * channels + c, 0.0);
        const double h = x_hat * value_or(arguments.gamma, c, 1.0) + value_or(arguments.beta, c, 0.0);
        mean_gradient += gradient(c) / static_cast<double>(channels);
        mean_product += gradient(c) * x_hat / static_cast<double>(channels);
        if (arguments.grad_scale) arguments.grad_scale.as<double>()[n * channels + c] += grad_y[c] * h;
        if (arguments.grad_shift) arguments.grad_shift.as<double>()[n * channels + c] += grad_y[c];
        if (arguments.grad_gamma) arguments.grad_gamma.as<double>()[c] += grad_y[c] * modulation * x_hat;
        if (arguments.grad_beta) arguments.grad_beta.as<double>()[c] += grad_y[c] * modulation;
      }
      if (!arguments.grad_x) continue;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double x_hat = (x[c] - mean) * rstd;
        double& grad_x = arguments.grad_x.as<double>()[row * channels + c];
        grad_x = (arguments.write == Write::accumulate ? grad_x : 0.0) +
                 rstd * (gradient(c) - mean_gradient - x_hat * mean_product);
      }
    }
}

const bool registered = layer_norm_forward.implement(DeviceKind::reference, &forward) &&
                        layer_norm_backward.implement(DeviceKind::reference, &backward);

}  // namespace
}  // namespace tweedie
