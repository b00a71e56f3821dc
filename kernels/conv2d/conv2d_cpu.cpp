#include <algorithm>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv2d_onednn.h"

namespace tweedie {
namespace {

void forward_cpu(Stream&, const Conv2dForward& arguments) {
  if (arguments.y.count() > 0) conv2d_onednn::forward(arguments);
}

void data_gradient_cpu(Stream&, const Conv2dDataGradient& arguments) {
  if (arguments.grad_x.count() > 0) conv2d_onednn::data_gradient(arguments);
}

void filter_gradient_cpu(Stream&, const Conv2dFilterGradient& arguments) {
  if (arguments.grad_y.count() > 0) return conv2d_onednn::filter_gradient(arguments);
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
