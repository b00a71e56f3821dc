#include "kernels/loss/loss.h"

namespace tweedie {
namespace {

double weight_of(const Array& weight, std::int64_t n) {
  return weight ? weight.as<double>()[n] : 1.0;
}

void forward(Stream&, const SquaredErrorForward& arguments) {
  const std::int64_t samples = arguments.prediction.shape[0], width = arguments.prediction.shape[1];
  for (std::int64_t n = 0; n < samples; ++n) {
    double sum = 0.0;
    for (std::int64_t j = 0; j < width; ++j) {
      const double difference =
          arguments.prediction.as<double>()[n * width + j] - arguments.target.as<double>()[n * width + j];
      sum += difference * difference;
    }
    arguments.loss.as<double>()[n] = weight_of(arguments.weight, n) * sum / static_cast<double>(width);
  }
}

void backward(Stream&, const SquaredErrorBackward& arguments) {
  const std::int64_t samples = arguments.prediction.shape[0], width = arguments.prediction.shape[1];
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t i = n * width + j;
      const double difference = arguments.prediction.as<double>()[i] - arguments.target.as<double>()[i];
      const double gradient = arguments.grad_loss.as<double>()[n] * weight_of(arguments.weight, n) * 2.0 /
                              static_cast<double>(width) * difference;
      double& out = arguments.grad_prediction.as<double>()[i];
      out = (arguments.write == Write::accumulate ? out : 0.0) + gradient;
    }
}

const bool registered = squared_error_forward.implement(DeviceKind::reference, &forward) &&
                        squared_error_backward.implement(DeviceKind::reference, &backward);

}  // namespace
}  // namespace tweedie
