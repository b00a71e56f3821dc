#include <algorithm>

#include "kernels/activation/activation_cpu.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv2d_onednn.h"
#include "kernels/conv2d/conv2d_panels.h"
#include "kernels/reduction/reduction_cpu.h"
#include "kernels/runtime/onednn.h"

namespace tweedie {
namespace {

void forward_cpu(Stream&, const Conv2dForward& arguments) {
  if (arguments.y.count() == 0) return;
  if (conv2d_panels::takes(arguments))
    conv2d_panels::forward(arguments);
  else
    conv2d_onednn::forward(arguments);
  if (arguments.activation) activate_on_cpu({.kind = *arguments.activation, .x = arguments.y, .y = arguments.y});
}

/// (O, kernel_h, kernel_w, I) to (I, kernel_h, kernel_w, O), turned by 180 degrees; valid until the next call.
Array turned(const Array& weight) {
  const std::int64_t out = weight.shape[0], taps = weight.shape.count_between(1, 3), in = weight.shape[3];
  const float* from = weight.as<float>();
  float* to = onednn::scratch_floats(onednn::Slot::transformed, weight.count());
  for (std::int64_t i = 0; i < in; ++i)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t o = 0; o < out; ++o)
        to[(i * taps + tap) * out + o] = from[(o * taps + taps - 1 - tap) * in + i];
  return {to, Shape({in, weight.shape[1], weight.shape[2], out}), DType::float32};
}

/// With stride 1 the data gradient is a forward convolution of grad_y with the turned weight, which can add to grad_x
/// in place: oneDNN's forward kernels are the faster ones.
void data_gradient_cpu(Stream& stream, const Conv2dDataGradient& arguments) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  if (grad_x.count() == 0) return;
  const auto& [stride, top, left, bottom, right] = geometry;
  const int last_h = static_cast<int>(weight.shape[1]) - 1, last_w = static_cast<int>(weight.shape[2]) - 1;
  if (stride != 1 || std::max(top, bottom) > last_h || std::max(left, right) > last_w)
    return conv2d_onednn::data_gradient(arguments);
  forward_cpu(stream, {.x = grad_y,
                       .weight = turned(weight),
                       .residual = write == Write::accumulate ? grad_x : Array{},
                       .y = grad_x,
                       .geometry = {1, last_h - top, last_w - left, last_h - bottom, last_w - right}});
}

void filter_gradient_cpu(Stream&, const Conv2dFilterGradient& arguments) {
  const Array& grad_y = arguments.grad_y;
  if (grad_y.count() > 0) {
    Conv2dFilterGradient filter = arguments;
    // Where channels do not fill vectors, oneDNN adds all pixels in one running float32 sum.
    if (const std::int64_t channels = grad_y.shape[3]; arguments.grad_bias && channels % 16 != 0) {
      const Array pixels{grad_y.data, {1, grad_y.count() / channels, channels}, grad_y.dtype};
      const Array sums{arguments.grad_bias.data, {1, channels}, grad_y.dtype};
      reduce_on_cpu({.kind = ReduceKind::sum, .x = pixels, .y = sums, .write = arguments.write});
      filter.grad_bias = {};
    }
    if (conv2d_panels::takes(filter)) return conv2d_panels::filter_gradient(filter);
    return conv2d_onednn::filter_gradient(filter);
  }
  if (arguments.write == Write::accumulate) return;
  std::fill_n(arguments.grad_weight.as<float>(), arguments.grad_weight.count(), 0.0f);
  if (arguments.grad_bias) std::fill_n(arguments.grad_bias.as<float>(), arguments.grad_bias.count(), 0.0f);
}

}  // namespace

constinit Operation<Conv2dForward> conv2d_forward{"conv2d_forward"};
constinit Operation<Conv2dDataGradient> conv2d_data_gradient{"conv2d_data_gradient"};
constinit Operation<Conv2dFilterGradient> conv2d_filter_gradient{"conv2d_filter_gradient"};
static const bool registered = conv2d_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                               conv2d_data_gradient.implement(DeviceKind::cpu, &data_gradient_cpu) &&
                               conv2d_filter_gradient.implement(DeviceKind::cpu, &filter_gradient_cpu);

}  // namespace tweedie
