#include "kernels/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>

namespace tweedie {
namespace {

void adam_step_reference(Stream&, const AdamStep& a) {
  const double scale = a.gradient_scale ? a.gradient_scale.as<double>()[0] : 1.0;
  const auto step = static_cast<double>(a.step);
  for (const OptimizerTensor& tensor : a.tensors)
    for (std::int64_t i = 0; i < tensor.parameter.count(); ++i) {
      double& p = tensor.parameter.as<double>()[i];
      double& m = tensor.first_moment.as<double>()[i];
      double& v = tensor.second_moment.as<double>()[i];
      const double g = scale * tensor.gradient.as<double>()[i];
      m = a.beta1 * m + (1.0 - a.beta1) * g;
      v = a.beta2 * v + (1.0 - a.beta2) * g * g;
      const double m_hat = m / (1.0 - std::pow(a.beta1, step)), v_hat = v / (1.0 - std::pow(a.beta2, step));
      p = p * (1.0 - a.learning_rate * a.weight_decay) - a.learning_rate * m_hat / (std::sqrt(v_hat) + a.epsilon);
      if (tensor.average) {
        double& average = tensor.average.as<double>()[i];
        average = a.average_decay * average + (1.0 - a.average_decay) * p;
      }
    }
}

void global_norm_reference(Stream&, const GlobalNorm& arguments) {
  double sum = 0.0;
  for (const Array& array : arguments.arrays)
    for (std::int64_t i = 0; i < array.count(); ++i) sum += array.as<double>()[i] * array.as<double>()[i];
  const double norm = std::sqrt(sum);
  arguments.norm.as<double>()[0] = norm;
  if (arguments.scale)
    arguments.scale.as<double>()[0] =
        arguments.max_norm > 0.0 && norm > 0.0 ? std::min(1.0, arguments.max_norm / norm) : 1.0;
}

void count_nonfinite_reference(Stream&, const CountNonfinite& arguments) {
  std::int64_t found = 0;
  for (const Array& array : arguments.arrays)
    for (std::int64_t i = 0; i < array.count(); ++i) found += std::isfinite(array.as<double>()[i]) ? 0 : 1;
  arguments.count.as<std::int64_t>()[0] = found;
}

const bool registered = adam_step.implement(DeviceKind::reference, &adam_step_reference) &&
                        global_norm.implement(DeviceKind::reference, &global_norm_reference) &&
                        count_nonfinite.implement(DeviceKind::reference, &count_nonfinite_reference);

}  // namespace
}  // namespace tweedie
