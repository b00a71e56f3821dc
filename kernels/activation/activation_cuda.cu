#include "kernels/activation/activation.cuh"
#include "kernels/activation/activation_cuda.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

namespace tweedie {
namespace {

template <int width>
__global__ void activation_forward_kernel(ActivationKind kind, const float* x, float* y, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    auto pack = load<w()>(x + i);
    for (int k = 0; k < w(); ++k) pack[k] = activate(kind, pack[k]);
    store(y + i, pack);
  });
}

}  // namespace

void activate_on_cuda(Stream& stream, const ActivationForward& arguments) {
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  launch_packed(stream, "activation_forward", arguments.x.shape, aligned_16(x, y), &activation_forward_kernel<4>,
                &activation_forward_kernel<1>, arguments.kind, x, y, arguments.x.count());
}

namespace {

template <int width>
__global__ void activation_backward_kernel(ActivationKind kind, const float* x, const float* grad_y, float* grad_x,
                                           bool accumulate, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load<w()>(x + i), grads = load<w()>(grad_y + i);
    auto result = accumulate ? load<w()>(grad_x + i) : Pack<float, w()>{};
    for (int k = 0; k < w(); ++k) result[k] = fmaf(grads[k], activation_derivative(kind, xs[k]), result[k]);
    store(grad_x + i, result);
  });
}

void activation_backward_cuda(Stream& stream, const ActivationBackward& arguments) {
  const float* x = arguments.x.as<float>();
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_x = arguments.grad_x.as<float>();
  launch_packed(stream, "activation_backward", arguments.x.shape, aligned_16(x, grad_y, grad_x),
                &activation_backward_kernel<4>, &activation_backward_kernel<1>, arguments.kind, x, grad_y, grad_x,
                arguments.write == Write::accumulate, arguments.x.count());
}

const bool registered = activation_forward.implement(DeviceKind::cuda, &activate_on_cuda) &&
                        activation_backward.implement(DeviceKind::cuda, &activation_backward_cuda);

}  // namespace
}  // namespace tweedie
