#include "kernels/softmax/softmax.h"

#include <algorithm>
#include <cmath>

namespace tweedie {
namespace {

void forward(Stream&, const SoftmaxForward& arguments) {
  const std::int64_t rows = arguments.x.shape[0], columns = arguments.x.shape[1];
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* x = arguments.x.as<double>() + r * columns;
    double* y = arguments.y.as<double>() + r * columns;
    const double top = *std::max_element(x, x + columns);
    double sum = 0.0;
    for (std::int64_t c = 0; c < columns; ++c) sum += std::exp(x[c] - top);
    for (std::int64_t c = 0; c < columns; ++c) y[c] = std::exp(x[c] - top) / sum;
  }
}

void backward(Stream&, const SoftmaxBackward& arguments) {
  const std::int64_t rows = arguments.y.shape[0], columns = arguments.y.shape[1];
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* y = arguments.y.as<double>() + r * columns;
    const double* grad_y = arguments.grad_y.as<double>() + r * columns;
    double* grad_x = arguments.grad_x.as<double>() + r * columns;
    double dot = 0.0;
    for (std::int64_t c = 0; c < columns; ++c) dot += y[c] * grad_y[c];
    for (std::int64_t c = 0; c < columns; ++c)
      grad_x[c] = (arguments.write == Write::accumulate ? grad_x[c] : 0.0) + y[c] * (grad_y[c] - dot);
  }
}

const bool registered = softmax_forward.implement(DeviceKind::reference, &forward) &&
                        softmax_backward.implement(DeviceKind::reference, &backward);

}  // namespace
}  // namespace tweedie
