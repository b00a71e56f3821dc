#include "kernels/loss/loss.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/loss/loss_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// sum of (a - b)^2: differences in float32, squares and sums in double.
double squared_distance(const float* a, const float* b, std::int64_t count) {
  const hn::ScalableTag<double> wide;
  const hn::Rebind<float, decltype(wide)> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  auto sum0 = hn::Zero(wide), sum1 = hn::Zero(wide);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto u = hn::PromoteTo(wide, hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i)));
    const auto v = hn::PromoteTo(wide, hn::Sub(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes)));
    sum0 = hn::MulAdd(u, u, sum0);
    sum1 = hn::MulAdd(v, v, sum1);
  }
  double total = hn::GetLane(hn::SumOfLanes(wide, hn::Add(sum0, sum1)));
  for (; i < count; ++i) {
    const double u = a[i] - b[i];
    total += u * u;
  }
  return total;
}

void scaled_difference(const float* a, const float* b, float scale, bool accumulate, float* out, std::int64_t count) {
  if (accumulate)
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      const auto difference = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
      return hn::MulAdd(difference, hn::Set(d, scale), hn::LoadU(d, out + i));
    });
  else
    map_vectors(count, out, [&](auto d, std::int64_t i) HWY_ATTR {
      const auto difference = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
      return hn::Mul(difference, hn::Set(d, scale));
    });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<SquaredErrorForward> squared_error_forward{"squared_error_forward"};
constinit Operation<SquaredErrorBackward> squared_error_backward{"squared_error_backward"};

namespace {

HWY_EXPORT(squared_distance);
HWY_EXPORT(scaled_difference);

std::int64_t samples_of_grain(std::int64_t width) {
  return std::max<std::int64_t>(1, 16384 / width);
}

void forward_cpu(Stream&, const SquaredErrorForward& arguments) {
  const std::int64_t width = arguments.prediction.shape[1];
  const float* prediction = arguments.prediction.as<float>();
  const float* target = arguments.target.as<float>();
  const float* weight = arguments.weight ? arguments.weight.as<float>() : nullptr;
  float* loss = arguments.loss.as<float>();
  parallel_for(arguments.prediction.shape[0], samples_of_grain(width), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      const double sum = HWY_DYNAMIC_DISPATCH(squared_distance)(prediction + n * width, target + n * width, width);
      loss[n] = static_cast<float>((weight != nullptr ? weight[n] : 1.0) * sum / static_cast<double>(width));
    }
  });
}

void backward_cpu(Stream&, const SquaredErrorBackward& arguments) {
  const std::int64_t width = arguments.prediction.shape[1];
  const float* prediction = arguments.prediction.as<float>();
  const float* target = arguments.target.as<float>();
  const float* weight = arguments.weight ? arguments.weight.as<float>() : nullptr;
  const float* grad_loss = arguments.grad_loss.as<float>();
  float* grad_prediction = arguments.grad_prediction.as<float>();
  parallel_for(arguments.prediction.shape[0], samples_of_grain(width), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
      const double scale = 2.0 * grad_loss[n] * (weight != nullptr ? weight[n] : 1.0) / static_cast<double>(width);
      HWY_DYNAMIC_DISPATCH(scaled_difference)
      (prediction + n * width, target + n * width, static_cast<float>(scale), arguments.write == Write::accumulate,
       grad_prediction + n * width, width);
    }
  });
}

const bool registered = squared_error_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        squared_error_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
