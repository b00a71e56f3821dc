#include "kernels/optimizer/optimizer.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const AdamStep& arguments) {
  for (const OptimizerTensor& tensor : arguments.tensors) {
    require(static_cast<bool>(tensor.parameter), "adam_step: operand parameter is missing");
    for (const auto& [operand, array] : {std::pair{"gradient", &tensor.gradient},
                                         {"first_moment", &tensor.first_moment},
                                         {"second_moment", &tensor.second_moment}})
      require_shape("adam_step", operand, *array, tensor.parameter.shape);
    require_optional_shape("adam_step", "average", tensor.average, tensor.parameter.shape);
    for (const auto& [operand, array] : {std::pair{"gradient", &tensor.gradient},
                                         {"first_moment", &tensor.first_moment},
                                         {"second_moment", &tensor.second_moment},
                                         {"average", &tensor.average},
                                         {"gradient_scale", &arguments.gradient_scale}})
      require_same_dtype("adam_step", operand, *array, tensor.parameter);
  }
  require_optional_shape("adam_step", "gradient_scale", arguments.gradient_scale, {1});
  require(arguments.step >= 1, "adam_step: step {} must count from 1", arguments.step);
  require(arguments.beta1 >= 0.0 && arguments.beta1 < 1.0 && arguments.beta2 >= 0.0 && arguments.beta2 < 1.0,
          "adam_step: beta1 {} and beta2 {} must lie in [0, 1)", arguments.beta1, arguments.beta2);
}
double flops(const AdamStep& arguments) {
  double elements = 0.0;
  for (const OptimizerTensor& tensor : arguments.tensors) elements += static_cast<double>(tensor.parameter.count());
  return 16.0 * elements;
}
double bytes_moved(const AdamStep& arguments) {
  double bytes = bytes_of(arguments.gradient_scale);
  for (const OptimizerTensor& tensor : arguments.tensors)
    bytes += bytes_of(tensor.gradient) + 2.0 * (bytes_of(tensor.parameter) + bytes_of(tensor.first_moment) +
                                                bytes_of(tensor.second_moment) + bytes_of(tensor.average));
  return bytes;
}

namespace {

double count_of(std::span<const Array> arrays) {
  double elements = 0.0;
  for (const Array& array : arrays) elements += static_cast<double>(array.count());
  return elements;
}
double bytes_of_all(std::span<const Array> arrays) {
  double bytes = 0.0;
  for (const Array& array : arrays) bytes += bytes_of(array);
  return bytes;
}

}  // namespace

void validate(const GlobalNorm& arguments) {
  require_shape("global_norm", "norm", arguments.norm, {1});
  require_optional_shape("global_norm", "scale", arguments.scale, {1});
  require(arguments.max_norm >= 0.0, "global_norm: max_norm {} is negative", arguments.max_norm);
  require_same_dtype("global_norm", "scale", arguments.scale, arguments.norm);
  for (const Array& array : arguments.arrays) {
    require(static_cast<bool>(array), "global_norm: one of the arrays is missing");
    require_same_dtype("global_norm", "one of the arrays", array, arguments.norm);
  }
}
double flops(const GlobalNorm& arguments) {
  return 2.0 * count_of(arguments.arrays);
}
double bytes_moved(const GlobalNorm& arguments) {
  return bytes_of_all(arguments.arrays) + bytes_of(arguments.norm) + bytes_of(arguments.scale);
}

void validate(const CountNonfinite& arguments) {
  require_shape("count_nonfinite", "count", arguments.count, {1});
  require_dtype("count_nonfinite", "count", arguments.count, DType::int64);
  for (const Array& array : arguments.arrays) {
    require(static_cast<bool>(array), "count_nonfinite: one of the arrays is missing");
    require(is_floating(array.dtype), "count_nonfinite: one of the arrays is {}, expected a floating dtype",
            name_of(array.dtype));
  }
}
double flops(const CountNonfinite& arguments) {
  return count_of(arguments.arrays);
}
double bytes_moved(const CountNonfinite& arguments) {
  return bytes_of_all(arguments.arrays) + bytes_of(arguments.count);
}

}  // namespace tweedie
