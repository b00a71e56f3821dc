#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/values.cuh"

namespace tweedie {
namespace {

// What an operation does is chosen inside the kernel: all threads take the same way, and memory is what they wait for.

__device__ float apply(BinaryKind kind, float a, float b) {
  switch (kind) {
    case BinaryKind::add:
      return a + b;
    case BinaryKind::subtract:
      return a - b;
    case BinaryKind::multiply:
      return a * b;
    case BinaryKind::divide:
      return a / b;
  }
  return 0.0f;
}

__device__ float apply(UnaryKind kind, float x) {
  switch (kind) {
    case UnaryKind::negate:
      return -x;
    case UnaryKind::exp:
      return expf(x);
    case UnaryKind::log:
      return logf(x);
    case UnaryKind::sqrt:
      return sqrtf(x);
    case UnaryKind::square:
      return x * x;
    case UnaryKind::reciprocal:
      return 1.0f / x;
    case UnaryKind::tanh:
      return tanhf(x);
    case UnaryKind::sin:
      return sinf(x);
    case UnaryKind::cos:
      return cosf(x);
  }
  return 0.0f;
}

__device__ float derivative(UnaryKind kind, float x, float y) {
  switch (kind) {
    case UnaryKind::negate:
      return -1.0f;
    case UnaryKind::exp:
      return y;
    case UnaryKind::log:
      return 1.0f / x;
    case UnaryKind::sqrt:
      return 0.5f / y;
    case UnaryKind::square:
      return 2.0f * x;
    case UnaryKind::reciprocal:
      return -y * y;
    case UnaryKind::tanh: {
      // 1 - y^2 loses its digits where y is near 1; with e = exp(-2 |x|) it is 4 e / (1 + e)^2.
      const float e = expf(-2.0f * fabsf(x));
      return 4.0f * e / ((1.0f + e) * (1.0f + e));
    }
    case UnaryKind::sin:
      return cosf(x);
    case UnaryKind::cos:
      return -sinf(x);
  }
  return 0.0f;
}

/// `width` values at p, or one value in each place where stride is 0.
template <int width, class T>
__device__ Pack<float, width> load_strided(const T* p, std::int64_t stride) {
  if (stride != 0) return load_floats<width>(p);
  Pack<float, width> same;
  for (int k = 0; k < width; ++k) same[k] = static_cast<float>(*p);
  return same;
}

/// A pack of `width` neighbours lies in one run of the last axis: its extent is a multiple of `width`.
template <class T, int width>
__global__ void binary_kernel(BinaryKind kind, BroadcastPlan plan, const T* a, const T* b, T* out, std::int64_t packs) {
  const int inner = plan.rank - 1;
  for (std::int64_t pack = grid_thread(); pack < packs; pack += grid_threads()) {
    std::int64_t rest = pack * width, offset_a = 0, offset_b = 0;
    for (int axis = inner; axis > 0; --axis) {
      const std::int64_t index = rest % plan.extents[axis];
      rest /= plan.extents[axis];
      offset_a += index * plan.strides_a[axis];
      offset_b += index * plan.strides_b[axis];
    }
    offset_a += rest * plan.strides_a[0];
    offset_b += rest * plan.strides_b[0];
    const auto x = load_strided<width>(a + offset_a, plan.strides_a[inner]);
    const auto y = load_strided<width>(b + offset_b, plan.strides_b[inner]);
    Pack<float, width> result;
    for (int k = 0; k < width; ++k) result[k] = apply(kind, x[k], y[k]);
    store_floats(out + pack * width, result);
  }
}

void binary_cuda(Stream& stream, const Binary& arguments) {
  with_value_type(arguments.a, [&]<class T>(T) {
    constexpr int width = pack_width<T>;
    const T* a = arguments.a.as<T>();
    const T* b = arguments.b.as<T>();
    T* out = arguments.out.as<T>();
    const BroadcastPlan plan = plan_broadcast(arguments.out.shape, arguments.a.shape, arguments.b.shape);
    const std::int64_t count = arguments.out.count();
    if (count == 0) return;
    const bool packed = plan.extents[plan.rank - 1] % width == 0 && aligned_16(a, b, out);
    const std::int64_t packs = packed ? count / width : count;
    launch(stream, {"binary", arguments.out.shape, blocks_for(stream, packs), block_threads},
           packed ? &binary_kernel<T, width> : &binary_kernel<T, 1>, arguments.kind, plan, a, b, out, packs);
  });
}

template <class T, int width>
__global__ void unary_kernel(UnaryKind kind, const T* x, T* y, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    auto pack = load_floats<w()>(x + i);
    for (int k = 0; k < w(); ++k) pack[k] = apply(kind, pack[k]);
    store_floats(y + i, pack);
  });
}

void unary_cuda(Stream& stream, const Unary& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) {
    const T* x = arguments.x.as<T>();
    T* y = arguments.y.as<T>();
    launch_packed(stream, "unary", arguments.x.shape, width_of<T>(x, y), &unary_kernel<T, pack_width<T>>,
                  &unary_kernel<T, 1>, arguments.kind, x, y, arguments.x.count());
  });
}

template <class T, int width>
__global__ void unary_backward_kernel(UnaryKind kind, const T* x, const T* y, const T* grad_y, T* grad_x,
                                      bool accumulate, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load_floats<w()>(x + i), ys = load_floats<w()>(y + i), grads = load_floats<w()>(grad_y + i);
    auto result = accumulate ? load_floats<w()>(grad_x + i) : Pack<float, w()>{};
    for (int k = 0; k < w(); ++k) result[k] += grads[k] * derivative(kind, xs[k], ys[k]);
    store_floats(grad_x + i, result);
  });
}

void unary_backward_cuda(Stream& stream, const UnaryBackward& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) {
    const T* x = arguments.x.as<T>();
    const T* y = arguments.y.as<T>();
    const T* grad_y = arguments.grad_y.as<T>();
    T* grad_x = arguments.grad_x.as<T>();
    launch_packed(stream, "unary_backward", arguments.x.shape, width_of<T>(x, y, grad_y, grad_x),
                  &unary_backward_kernel<T, pack_width<T>>, &unary_backward_kernel<T, 1>, arguments.kind, x, y, grad_y,
                  grad_x, arguments.write == Write::accumulate, arguments.x.count());
  });
}

template <class T, int width>
__global__ void scale_add_kernel(const T* a, const T* b, T* out, float scale_a, float scale_b, float constant,
                                 std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load_floats<w()>(a + i);
    Pack<float, w()> result;
    for (int k = 0; k < w(); ++k) result[k] = constant;
    if (b != nullptr) {
      const auto ys = load_floats<w()>(b + i);
      for (int k = 0; k < w(); ++k) result[k] = fmaf(scale_b, ys[k], constant);
    }
    for (int k = 0; k < w(); ++k) result[k] = fmaf(scale_a, xs[k], result[k]);
    store_floats(out + i, result);
  });
}

void scale_add_cuda(Stream& stream, const ScaleAdd& arguments) {
  with_value_type(arguments.a, [&]<class T>(T) {
    const T* a = arguments.a.as<T>();
    const T* b = optional_values<T>(arguments.b);
    T* out = arguments.out.as<T>();
    launch_packed(stream, "scale_add", arguments.a.shape, width_of<T>(a, b, out), &scale_add_kernel<T, pack_width<T>>,
                  &scale_add_kernel<T, 1>, a, b, out, static_cast<float>(arguments.scale_a),
                  static_cast<float>(arguments.scale_b), static_cast<float>(arguments.constant), arguments.a.count());
  });
}

const bool registered = binary.implement(DeviceKind::cuda, &binary_cuda) &&
                        unary.implement(DeviceKind::cuda, &unary_cuda) &&
                        unary_backward.implement(DeviceKind::cuda, &unary_backward_cuda) &&
                        scale_add.implement(DeviceKind::cuda, &scale_add_cuda);

}  // namespace
}  // namespace tweedie
