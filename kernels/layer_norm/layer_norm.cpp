#include "kernels/layer_norm/layer_norm.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

template <class Arguments>
void validate_common(std::string_view name, const Arguments& arguments) {
  require_rank(name, "x", arguments.x, 3);
  const Shape& x = arguments.x.shape;
  require(x[2] > 0, "{}: x has shape {}, expected at least one channel", name, x);
  require_optional_shape(name, "gamma", arguments.gamma, {x[2]});
  require_optional_shape(name, "beta", arguments.beta, {x[2]});
  require(static_cast<bool>(arguments.gamma) == static_cast<bool>(arguments.beta),
          "{}: gamma and beta come together, only {} is given", name, arguments.gamma ? "gamma" : "beta");
  require_optional_shape(name, "scale", arguments.scale, {x[0], x[2]});
  require_optional_shape(name, "shift", arguments.shift, {x[0], x[2]});
  require(static_cast<bool>(arguments.scale) == static_cast<bool>(arguments.shift),
          "{}: scale and shift come together, only {} is given", name, arguments.scale ? "scale" : "shift");
  require_shape(name, "mean", arguments.mean, {x[0], x[1]});
  require_shape(name, "rstd", arguments.rstd, {x[0], x[1]});
  for (const auto& [operand, array] : {std::pair{"gamma", &arguments.gamma},
                                       {"beta", &arguments.beta},
                                       {"scale", &arguments.scale},
                                       {"shift", &arguments.shift},
                                       {"mean", &arguments.mean},
                                       {"rstd", &arguments.rstd}})
    require_wide_dtype(name, operand, *array, arguments.x);
}

template <class Arguments>
double bytes_common(const Arguments& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.gamma) + bytes_of(arguments.beta) + bytes_of(arguments.scale) +
         bytes_of(arguments.shift) + bytes_of(arguments.mean) + bytes_of(arguments.rstd);
}

}  // namespace

void validate(const LayerNormForward& arguments) {
  validate_common("layer_norm_forward", arguments);
  require_shape("layer_norm_forward", "y", arguments.y, arguments.x.shape);
  require_same_dtype("layer_norm_forward", "y", arguments.y, arguments.x);
  require(arguments.epsilon >= 0.0, "layer_norm_forward: epsilon {} is negative", arguments.epsilon);
}
double flops(const LayerNormForward& arguments) {
  return 8.0 * static_cast<double>(arguments.x.count());
}
double bytes_moved(const LayerNormForward& arguments) {
  return bytes_common(arguments) + bytes_of(arguments.y);
}

void validate(const LayerNormBackward& arguments) {
  constexpr std::string_view name = "layer_norm_backward";
  validate_common(name, arguments);
  const Shape& x = arguments.x.shape;
  require_shape(name, "grad_y", arguments.grad_y, x);
  require_optional_shape(name, "grad_x", arguments.grad_x, x);
  require_optional_shape(name, "grad_gamma", arguments.grad_gamma, {x[2]});
  require_optional_shape(name, "grad_beta", arguments.grad_beta, {x[2]});
  require_optional_shape(name, "grad_scale", arguments.grad_scale, {x[0], x[2]});
  require_optional_shape(name, "grad_shift", arguments.grad_shift, {x[0], x[2]});
  require_same_dtype(name, "grad_y", arguments.grad_y, arguments.x);
  require_same_dtype(name, "grad_x", arguments.grad_x, arguments.x);
  for (const auto& [operand, array] : {std::pair{"grad_gamma", &arguments.grad_gamma},
                                       {"grad_beta", &arguments.grad_beta},
                                       {"grad_scale", &arguments.grad_scale},
                                       {"grad_shift", &arguments.grad_shift}})
    require_wide_dtype(name, operand, *array, arguments.x);
}
double flops(const LayerNormBackward& arguments) {
  return 16.0 * static_cast<double>(arguments.x.count());
}
double bytes_moved(const LayerNormBackward& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_common(arguments) + bytes_of(arguments.grad_y) + passes * bytes_of(arguments.grad_x) +
         2.0 * (bytes_of(arguments.grad_gamma) + bytes_of(arguments.grad_beta)) + bytes_of(arguments.grad_scale) +
         bytes_of(arguments.grad_shift);
}

}  // namespace tweedie
