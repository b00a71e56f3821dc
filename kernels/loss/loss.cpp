#include "kernels/loss/loss.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

template <class Arguments>
void validate_common(std::string_view name, const Arguments& arguments) {
  require_rank(name, "prediction", arguments.prediction, 2);
  const Shape& shape = arguments.prediction.shape;
  require(shape[1] > 0, "{}: prediction has shape {}, expected at least one element a sample", name, shape);
  require_shape(name, "target", arguments.target, shape);
  require_optional_shape(name, "weight", arguments.weight, {shape[0]});
  require_same_dtype(name, "target", arguments.target, arguments.prediction);
  require_wide_dtype(name, "weight", arguments.weight, arguments.prediction);
}

}  // namespace

void validate(const SquaredErrorForward& arguments) {
  validate_common("squared_error_forward", arguments);
  require_shape("squared_error_forward", "loss", arguments.loss, {arguments.prediction.shape[0]});
  require_wide_dtype("squared_error_forward", "loss", arguments.loss, arguments.prediction);
}
double flops(const SquaredErrorForward& arguments) {
  return 3.0 * static_cast<double>(arguments.prediction.count());
}
double bytes_moved(const SquaredErrorForward& arguments) {
  return bytes_of(arguments.prediction) + bytes_of(arguments.target) + bytes_of(arguments.weight) +
         bytes_of(arguments.loss);
}

void validate(const SquaredErrorBackward& arguments) {
  validate_common("squared_error_backward", arguments);
  require_shape("squared_error_backward", "grad_loss", arguments.grad_loss, {arguments.prediction.shape[0]});
  require_shape("squared_error_backward", "grad_prediction", arguments.grad_prediction, arguments.prediction.shape);
  require_wide_dtype("squared_error_backward", "grad_loss", arguments.grad_loss, arguments.prediction);
  require_same_dtype("squared_error_backward", "grad_prediction", arguments.grad_prediction, arguments.prediction);
}
double flops(const SquaredErrorBackward& arguments) {
  return 2.0 * static_cast<double>(arguments.prediction.count());
}
double bytes_moved(const SquaredErrorBackward& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.prediction) + bytes_of(arguments.target) + bytes_of(arguments.weight) +
         bytes_of(arguments.grad_loss) + passes * bytes_of(arguments.grad_prediction);
}

}  // namespace tweedie
