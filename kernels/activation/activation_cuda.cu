#include "kernels/activation/activation.cuh"
#include "kernels/activation/activation_cuda.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/values.cuh"

namespace tweedie {
namespace {

template <class T, int width>
__global__ void activation_forward_kernel(ActivationKind kind, const T* x, T* y, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    auto pack = load_floats<w()>(x + i);
    for (int k = 0; k < w(); ++k) pack[k] = activate(kind, pack[k]);
    store_floats(y + i, pack);
  });
}

}  // namespace

void activate_on_cuda(Stream& stream, const ActivationForward& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) {
    const T* x = arguments.x.as<T>();
    T* y = arguments.y.as<T>();
    launch_packed(stream, "activation_forward", arguments.x.shape, width_of<T>(x, y),
                  &activation_forward_kernel<T, pack_width<T>>, &activation_forward_kernel<T, 1>, arguments.kind, x, y,
                  arguments.x.count());
  });
}

namespace {

template <class T, int width>
__global__ void activation_backward_kernel(ActivationKind kind, const T* x, const T* grad_y, T* grad_x, bool accumulate,
                                           std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load_floats<w()>(x + i), grads = load_floats<w()>(grad_y + i);
    auto result = accumulate ? load_floats<w()>(grad_x + i) : Pack<float, w()>{};
    for (int k = 0; k < w(); ++k) result[k] = fmaf(grads[k], activation_derivative(kind, xs[k]), result[k]);
    store_floats(grad_x + i, result);
  });
}

void activation_backward_cuda(Stream& stream, const ActivationBackward& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) {
    const T* x = arguments.x.as<T>();
    const T* grad_y = arguments.grad_y.as<T>();
    T* grad_x = arguments.grad_x.as<T>();
    launch_packed(stream, "activation_backward", arguments.x.shape, width_of<T>(x, grad_y, grad_x),
                  &activation_backward_kernel<T, pack_width<T>>, &activation_backward_kernel<T, 1>, arguments.kind, x,
                  grad_y, grad_x, arguments.write == Write::accumulate, arguments.x.count());
  });
}

const bool registered = activation_forward.implement(DeviceKind::cuda, &activate_on_cuda) &&
                        activation_backward.implement(DeviceKind::cuda, &activation_backward_cuda);

}  // namespace
}  // namespace tweedie
