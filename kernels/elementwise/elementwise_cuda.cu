#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

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
template <int width>
__device__ Pack<float, width> load_strided(const float* p, std::int64_t stride) {
  if (stride != 0) return load<width>(p);
  Pack<float, width> same;
  for (int k = 0; k < width; ++k) same[k] = *p;
  return same;
}

/// A pack of `width` neighbours lies in one run of the last axis: its extent is a multiple of `width`.
template <int width>
__global__ void binary_kernel(BinaryKind kind, BroadcastPlan plan, const float* a, const float* b, float* out,
                              std::int64_t packs) {
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
    store(out + pack * width, result);
  }
}

void binary_cuda(Stream& stream, const Binary& arguments) {
  const float* a = arguments.a.as<float>();
  const float* b = arguments.b.as<float>();
  float* out = arguments.out.as<float>();
  const BroadcastPlan plan = plan_broadcast(arguments.out.shape, arguments.a.shape, arguments.b.shape);
  const std::int64_t count = arguments.out.count();
  if (count == 0) return;
  const bool packed = plan.extents[plan.rank - 1] % 4 == 0 && aligned_16(a, b, out);
  const std::int64_t packs = packed ? count / 4 : count;
  launch(stream, {"binary", arguments.out.shape, blocks_for(stream, packs), block_threads},
         packed ? &binary_kernel<4> : &binary_kernel<1>, arguments.kind, plan, a, b, out, packs);
}

template <int width>
__global__ void unary_kernel(UnaryKind kind, const float* x, float* y, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    auto pack = load<w()>(x + i);
    for (int k = 0; k < w(); ++k) pack[k] = apply(kind, pack[k]);
    store(y + i, pack);
  });
}

void unary_cuda(Stream& stream, const Unary& arguments) {
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  const std::int64_t count = arguments.x.count();
  launch_packed(stream, "unary", arguments.x.shape, aligned_16(x, y), &unary_kernel<4>, &unary_kernel<1>,
                arguments.kind, x, y, count);
}

template <int width>
__global__ void unary_backward_kernel(UnaryKind kind, const float* x, const float* y, const float* grad_y,
                                      float* grad_x, bool accumulate, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load<w()>(x + i), ys = load<w()>(y + i), grads = load<w()>(grad_y + i);
    auto result = accumulate ? load<w()>(grad_x + i) : Pack<float, w()>{};
    for (int k = 0; k < w(); ++k) result[k] += grads[k] * derivative(kind, xs[k], ys[k]);
    store(grad_x + i, result);
  });
}

void unary_backward_cuda(Stream& stream, const UnaryBackward& arguments) {
  const float* x = arguments.x.as<float>();
  const float* y = arguments.y.as<float>();
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_x = arguments.grad_x.as<float>();
  launch_packed(stream, "unary_backward", arguments.x.shape, aligned_16(x, y, grad_y, grad_x),
                &unary_backward_kernel<4>, &unary_backward_kernel<1>, arguments.kind, x, y, grad_y, grad_x,
                arguments.write == Write::accumulate, arguments.x.count());
}

template <int width>
__global__ void scale_add_kernel(const float* a, const float* b, float* out, float scale_a, float scale_b,
                                 float constant, std::int64_t count) {
  for_each_pack<width>(count, [=](auto w, std::int64_t i) {
    const auto xs = load<w()>(a + i);
    Pack<float, w()> result;
    for (int k = 0; k < w(); ++k) result[k] = constant;
    if (b != nullptr) {
      const auto ys = load<w()>(b + i);
      for (int k = 0; k < w(); ++k) result[k] = fmaf(scale_b, ys[k], constant);
    }
    for (int k = 0; k < w(); ++k) result[k] = fmaf(scale_a, xs[k], result[k]);
    store(out + i, result);
  });
}

void scale_add_cuda(Stream& stream, const ScaleAdd& arguments) {
  const float* a = arguments.a.as<float>();
  const float* b = arguments.b ? arguments.b.as<float>() : nullptr;
  float* out = arguments.out.as<float>();
  launch_packed(stream, "scale_add", arguments.a.shape, aligned_16(a, b, out), &scale_add_kernel<4>,
                &scale_add_kernel<1>, a, b, out, static_cast<float>(arguments.scale_a),
                static_cast<float>(arguments.scale_b), static_cast<float>(arguments.constant), arguments.a.count());
}

const bool registered = binary.implement(DeviceKind::cuda, &binary_cuda) &&
                        unary.implement(DeviceKind::cuda, &unary_cuda) &&
                        unary_backward.implement(DeviceKind::cuda, &unary_backward_cuda) &&
                        scale_add.implement(DeviceKind::cuda, &scale_add_cuda);

}  // namespace
}  // namespace tweedie
