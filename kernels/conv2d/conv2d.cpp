#include "kernels/conv2d/conv2d.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

/// x (N, H, W, I), weight (O, kernel_h, kernel_w, I) and y (N, OH, OW, O) under the names each entry point gives them.
struct Named {
  std::string_view operation;
  std::string_view x_name;
  const Array& x;
  std::string_view weight_name;
  const Array& weight;
  std::string_view y_name;
  const Array& y;
};

void validate_shapes(const Named& named, const Conv2dGeometry& geometry) {
  const auto& [operation, x_name, x, weight_name, weight, y_name, y] = named;
  require_rank(operation, x_name, x, 4);
  require_rank(operation, weight_name, weight, 4);
  require(geometry.stride >= 1, "{}: stride {}, expected at least 1", operation, geometry.stride);
  require(geometry.pad_top >= 0 && geometry.pad_left >= 0 && geometry.pad_bottom >= 0 && geometry.pad_right >= 0,
          "{}: negative padding (top {}, left {}, bottom {}, right {})", operation, geometry.pad_top, geometry.pad_left,
          geometry.pad_bottom, geometry.pad_right);
  require(weight.shape[3] == x.shape[3], "{}: {} {} has {} input channels, {} {} has {}", operation, weight_name,
          weight.shape, weight.shape[3], x_name, x.shape, x.shape[3]);
  const std::int64_t out_height =
      conv2d_output_extent(x.shape[1], weight.shape[1], geometry.stride, geometry.pad_top, geometry.pad_bottom);
  const std::int64_t out_width =
      conv2d_output_extent(x.shape[2], weight.shape[2], geometry.stride, geometry.pad_left, geometry.pad_right);
  require_shape(operation, y_name, y, Shape({x.shape[0], out_height, out_width, weight.shape[0]}));
  require(is_floating(x.dtype), "{}: {} is {}, expected a floating-point type", operation, x_name, name_of(x.dtype));
  require_same_dtype(operation, y_name, y, x);
}

double convolution_flops(const Array& y, const Array& weight) {
  return 2.0 * static_cast<double>(y.count()) * static_cast<double>(weight.shape.count_between(1, 4));
}

double writes_of(Write write) {
  return write == Write::accumulate ? 2.0 : 1.0;
}

}  // namespace

std::int64_t conv2d_output_extent(std::int64_t in, std::int64_t kernel, int stride, int pad_before, int pad_after) {
  const std::int64_t padded = in + pad_before + pad_after;
  require(kernel >= 1 && padded >= kernel, "conv2d: a kernel of extent {} does not fit into {} + {} + {} padded inputs",
          kernel, in, pad_before, pad_after);
  require(stride >= 1, "conv2d: stride {}, expected at least 1", stride);
  return (padded - kernel) / stride + 1;
}

void validate(const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry, activation] = arguments;
  validate_shapes({"conv2d_forward", "x", x, "weight", weight, "y", y}, geometry);
  require_same_dtype("conv2d_forward", "weight", weight, x);
  require_optional_shape("conv2d_forward", "bias", bias, Shape({weight.shape[0]}));
  require_optional_shape("conv2d_forward", "residual", residual, y.shape);
  require_same_dtype("conv2d_forward", "bias", bias, x);
  require_same_dtype("conv2d_forward", "residual", residual, x);
}

double flops(const Conv2dForward& arguments) {
  return convolution_flops(arguments.y, arguments.weight);
}

double bytes_moved(const Conv2dForward& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.weight) + bytes_of(arguments.bias) + bytes_of(arguments.residual) +
         bytes_of(arguments.y);
}

void validate(const Conv2dDataGradient& arguments) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  validate_shapes({"conv2d_data_gradient", "grad_x", grad_x, "weight", weight, "grad_y", grad_y}, geometry);
  require_same_dtype("conv2d_data_gradient", "weight", weight, grad_x);
}

double flops(const Conv2dDataGradient& arguments) {
  return convolution_flops(arguments.grad_y, arguments.weight);
}

double bytes_moved(const Conv2dDataGradient& arguments) {
  return bytes_of(arguments.grad_y) + bytes_of(arguments.weight) +
         writes_of(arguments.write) * bytes_of(arguments.grad_x);
}

void validate(const Conv2dFilterGradient& arguments) {
  const auto& [x, grad_y, grad_weight, grad_bias, geometry, write] = arguments;
  validate_shapes({"conv2d_filter_gradient", "x", x, "grad_weight", grad_weight, "grad_y", grad_y}, geometry);
  require_optional_shape("conv2d_filter_gradient", "grad_bias", grad_bias, Shape({grad_weight.shape[0]}));
  require_wide_dtype("conv2d_filter_gradient", "grad_weight", grad_weight, x);
  require_wide_dtype("conv2d_filter_gradient", "grad_bias", grad_bias, x);
}

double flops(const Conv2dFilterGradient& arguments) {
  return convolution_flops(arguments.grad_y, arguments.grad_weight);
}

double bytes_moved(const Conv2dFilterGradient& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.grad_y) +
         writes_of(arguments.write) * (bytes_of(arguments.grad_weight) + bytes_of(arguments.grad_bias));
}

}  // namespace tweedie
