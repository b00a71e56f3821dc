#include "kernels/softmax/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/softmax_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

float largest(const float* x, std::int64_t count) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto vector = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) vector = hn::Max(vector, hn::LoadU(d, x + i));
  float value = hn::GetLane(hn::MaxOfLanes(d, vector));
  for (; i < count; ++i) value = std::max(value, x[i]);
  return value;
}

void softmax_rows(const float* x, float* y, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t row = 0; row < rows; ++row, x += columns, y += columns) {
    const float top = largest(x, columns);
    map_vectors(columns, y, [&](auto d, std::int64_t i) HWY_ATTR {
      return exp_anywhere(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, top)));
    });
    const double sum = blocked_sum(columns, [&](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, y + i); });
    const auto scale = static_cast<float>(1.0 / sum);
    for_each_vector(columns, [&](auto d, std::int64_t i)
                                 HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, y + i), hn::Set(d, scale)), d, y + i); });
  }
}

void softmax_backward_rows(const float* y, const float* grad_y, float* grad_x, std::int64_t rows, std::int64_t columns,
                           bool accumulate) {
  for (std::int64_t row = 0; row < rows; ++row, y += columns, grad_y += columns, grad_x += columns) {
    const auto dot = static_cast<float>(blocked_sum(columns, [&](auto d, std::int64_t i) HWY_ATTR {
      return hn::Mul(hn::LoadU(d, y + i), hn::LoadU(d, grad_y + i));
    }));
    map_vectors(columns, grad_x, [&](auto d, std::int64_t i) HWY_ATTR {
      auto gradient = hn::Mul(hn::LoadU(d, y + i), hn::Sub(hn::LoadU(d, grad_y + i), hn::Set(d, dot)));
      if (accumulate) gradient = hn::Add(gradient, hn::LoadU(d, grad_x + i));
      return gradient;
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<SoftmaxForward> softmax_forward{"softmax_forward"};
constinit Operation<SoftmaxBackward> softmax_backward{"softmax_backward"};

namespace {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_backward_rows);

std::int64_t rows_of_grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, columns));
}

void forward_cpu(Stream&, const SoftmaxForward& arguments) {
  const std::int64_t columns = arguments.x.shape[1];
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  parallel_for(arguments.x.shape[0], rows_of_grain(columns), [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(softmax_rows)(x + first * columns, y + first * columns, last - first, columns);
  });
}

void backward_cpu(Stream&, const SoftmaxBackward& arguments) {
  const std::int64_t columns = arguments.y.shape[1];
  const float* y = arguments.y.as<float>();
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_x = arguments.grad_x.as<float>();
  parallel_for(arguments.y.shape[0], rows_of_grain(columns), [&](std::int64_t first, std::int64_t last) {
    const std::int64_t offset = first * columns;
    HWY_DYNAMIC_DISPATCH(softmax_backward_rows)
    (y + offset, grad_y + offset, grad_x + offset, last - first, columns, arguments.write == Write::accumulate);
  });
}

const bool registered = softmax_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        softmax_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
