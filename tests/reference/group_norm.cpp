#include "kernels/group_norm/group_norm.h"

#include <cmath>
#include <vector>

namespace tweedie {
namespace {

double value_or(const Array& array, std::int64_t index, double otherwise) {
  return array ? array.as<double>()[index] : otherwise;
}

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

void forward(Stream&, const GroupNormForward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], positions = arguments.x.shape[1], channels = arguments.x.shape[2];
  const std::int64_t width = channels / arguments.groups;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t g = 0; g < arguments.groups; ++g) {
      std::vector<double> u;
      for (std::int64_t s = 0; s < positions; ++s)
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c)
          u.push_back(arguments.x.as<double>()[(n * positions + s) * channels + c] +
                      value_or(arguments.input_shift, n * channels + c, 0.0));
      double mean = 0.0, variance = 0.0;
      for (const double value : u) mean += value / static_cast<double>(u.size());
      for (const double value : u) variance += (value - mean) * (value - mean) / static_cast<double>(u.size());
      const double rstd = 1.0 / std::sqrt(variance + arguments.epsilon);
      arguments.mean.as<double>()[n * arguments.groups + g] = mean;
      arguments.rstd.as<double>()[n * arguments.groups + g] = rstd;
      auto next = u.begin();
      for (std::int64_t s = 0; s < positions; ++s)
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
          const double h = (*next++ - mean) * rstd * arguments.gamma.as<double>()[c] + arguments.beta.as<double>()[c];
          const double m = h * (1.0 + value_or(arguments.scale, n * channels + c, 0.0)) +
                           value_or(arguments.shift, n * channels + c, 0.0);
          arguments.y.as<double>()[(n * positions + s) * channels + c] = arguments.silu ? m * sigmoid(m) : m;
        }
    }
}

void backward(Stream&, const GroupNormBackward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], positions = arguments.x.shape[1], channels = arguments.x.shape[2];
  const std::int64_t width = channels / arguments.groups;
  const double count = static_cast<double>(positions * width);
  for (const Array& output : {arguments.grad_input_shift, arguments.grad_scale, arguments.grad_shift})
    if (output)
      for (std::int64_t i = 0; i < output.count(); ++i) output.as<double>()[i] = 0.0;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t g = 0; g < arguments.groups; ++g) {
      const double mean = arguments.mean.as<double>()[n * arguments.groups + g];
      const double rstd = arguments.rstd.as<double>()[n * arguments.groups + g];
      // Gradients with respect to the normalised values, and the two means that the statistics bring in.
      std::vector<double> normalised, gradient;
      double mean_gradient = 0.0, mean_product = 0.0;
      for (std::int64_t s = 0; s < positions; ++s)
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
          const std::int64_t i = (n * positions + s) * channels + c, channel = n * channels + c;
          const double gamma = arguments.gamma.as<double>()[c], beta = arguments.beta.as<double>()[c];
          const double u = arguments.x.as<double>()[i] + value_or(arguments.input_shift, channel, 0.0);
          const double x_hat = (u - mean) * rstd;
          const double h = x_hat * gamma + beta;
          const double modulation = 1.0 + value_or(arguments.scale, channel, 0.0);
          const double m = h * modulation + value_or(arguments.shift, channel, 0.0);
          double grad_m = arguments.grad_y.as<double>()[i];
          if (arguments.silu) grad_m *= sigmoid(m) * (1.0 + m * (1.0 - sigmoid(m)));
          if (arguments.grad_scale) arguments.grad_scale.as<double>()[channel] += grad_m * h;
          if (arguments.grad_shift) arguments.grad_shift.as<double>()[channel] += grad_m;
          if (arguments.grad_gamma) arguments.grad_gamma.as<double>()[c] += grad_m * modulation * x_hat;
          if (arguments.grad_beta) arguments.grad_beta.as<double>()[c] += grad_m * modulation;
          normalised.push_back(x_hat);
          gradient.push_back(grad_m * modulation * gamma);
          mean_gradient += gradient.back() / count;
          mean_product += gradient.back() * x_hat / count;
        }
      std::size_t next = 0;
      for (std::int64_t s = 0; s < positions; ++s)
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c, ++next) {
          const double grad_u = rstd * (gradient[next] - mean_gradient - normalised[next] * mean_product);
          double& grad_x = arguments.grad_x.as<double>()[(n * positions + s) * channels + c];
          grad_x = (arguments.write == Write::accumulate ? grad_x : 0.0) + grad_u;
          if (arguments.grad_input_shift) arguments.grad_input_shift.as<double>()[n * channels + c] += grad_u;
        }
    }
}

const bool registered = group_norm_forward.implement(DeviceKind::reference, &forward) &&
                        group_norm_backward.implement(DeviceKind::reference, &backward);

}  // namespace
}  // namespace tweedie
