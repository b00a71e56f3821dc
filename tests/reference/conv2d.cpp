#include "kernels/conv2d/conv2d.h"

#include <algorithm>

#include "tests/reference/activation.h"

namespace tweedie {
namespace {

/// Calls visit(x index, weight index, y index) for every product of the cross-correlation.
template <class Visit>
void for_each_product(const Shape& x, const Shape& weight, const Shape& y, const Conv2dGeometry& geometry,
                      Visit&& visit) {
  const std::int64_t height = x[1], width = x[2], in = x[3], kernel_height = weight[1], kernel_width = weight[2];
  const std::int64_t samples = y[0], out_height = y[1], out_width = y[2], out = y[3];
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t oh = 0; oh < out_height; ++oh)
      for (std::int64_t ow = 0; ow < out_width; ++ow)
        for (std::int64_t kh = 0; kh < kernel_height; ++kh)
          for (std::int64_t kw = 0; kw < kernel_width; ++kw) {
            const std::int64_t h = oh * geometry.stride + kh - geometry.pad_top;
            const std::int64_t w = ow * geometry.stride + kw - geometry.pad_left;
            if (h < 0 || h >= height || w < 0 || w >= width) continue;  // zero padding
            const std::int64_t x_pixel = (n * height + h) * width + w, y_pixel = (n * out_height + oh) * out_width + ow;
            for (std::int64_t o = 0; o < out; ++o)
              for (std::int64_t i = 0; i < in; ++i)
                visit(x_pixel * in + i, ((o * kernel_height + kh) * kernel_width + kw) * in + i, y_pixel * out + o);
          }
}

void forward_reference(Stream&, const Conv2dForward& arguments) {
  const double* x = arguments.x.as<double>();
  const double* weight = arguments.weight.as<double>();
  double* y = arguments.y.as<double>();
  const std::int64_t channels = arguments.y.shape[3];
  for (std::int64_t i = 0; i < arguments.y.count(); ++i) {
    double start = 0.0;
    if (arguments.bias) start += arguments.bias.as<double>()[i % channels];
    if (arguments.residual) start += arguments.residual.as<double>()[i];
    y[i] = start;
  }
  for_each_product(arguments.x.shape, arguments.weight.shape, arguments.y.shape, arguments.geometry,
                   [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) { y[yi] += x[xi] * weight[wi]; });
  if (arguments.activation)
    for (std::int64_t i = 0; i < arguments.y.count(); ++i) y[i] = reference::activated(*arguments.activation, y[i]);
}

void data_gradient_reference(Stream&, const Conv2dDataGradient& arguments) {
  const double* grad_y = arguments.grad_y.as<double>();
  const double* weight = arguments.weight.as<double>();
  double* grad_x = arguments.grad_x.as<double>();
  if (arguments.write == Write::overwrite) std::fill_n(grad_x, arguments.grad_x.count(), 0.0);
  for_each_product(arguments.grad_x.shape, arguments.weight.shape, arguments.grad_y.shape, arguments.geometry,
                   [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) { grad_x[xi] += grad_y[yi] * weight[wi]; });
}

void filter_gradient_reference(Stream&, const Conv2dFilterGradient& arguments) {
  const double* x = arguments.x.as<double>();
  const double* grad_y = arguments.grad_y.as<double>();
  double* grad_weight = arguments.grad_weight.as<double>();
  if (arguments.write == Write::overwrite) std::fill_n(grad_weight, arguments.grad_weight.count(), 0.0);
  for_each_product(arguments.x.shape, arguments.grad_weight.shape, arguments.grad_y.shape, arguments.geometry,
                   [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) { grad_weight[wi] += x[xi] * grad_y[yi]; });
  if (arguments.grad_bias) {
    double* grad_bias = arguments.grad_bias.as<double>();
    const std::int64_t channels = arguments.grad_bias.count();
    if (arguments.write == Write::overwrite) std::fill_n(grad_bias, channels, 0.0);
    for (std::int64_t i = 0; i < arguments.grad_y.count(); ++i) grad_bias[i % channels] += grad_y[i];
  }
}

const bool registered = conv2d_forward.implement(DeviceKind::reference, &forward_reference) &&
                        conv2d_data_gradient.implement(DeviceKind::reference, &data_gradient_reference) &&
                        conv2d_filter_gradient.implement(DeviceKind::reference, &filter_gradient_reference);

}  // namespace
}  // namespace tweedie
