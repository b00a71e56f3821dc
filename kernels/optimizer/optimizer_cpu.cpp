#include "kernels/optimizer/optimizer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer/optimizer_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/optimizer/adam_coefficients.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

template <bool with_average>
void adam_range_of(const AdamCoefficients& k, float* parameter, const float* gradient, float* first, float* second,
                   float* average, std::int64_t count) {
  for_each_vector(count, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, k.gradient_scale));
    const auto m = hn::MulAdd(hn::LoadU(d, first + i), hn::Set(d, k.beta1), hn::Mul(g, hn::Set(d, k.rest1)));
    const auto v =
        hn::MulAdd(hn::LoadU(d, second + i), hn::Set(d, k.beta2), hn::Mul(hn::Mul(g, g), hn::Set(d, k.rest2)));
    const auto deviation = hn::MulAdd(hn::Sqrt(v), hn::Set(d, k.correction2), hn::Set(d, k.epsilon));
    const auto p = hn::NegMulAdd(hn::Div(m, deviation), hn::Set(d, k.step_size),
                                 hn::Mul(hn::LoadU(d, parameter + i), hn::Set(d, k.decay)));
    hn::StoreU(m, d, first + i);
    hn::StoreU(v, d, second + i);
    hn::StoreU(p, d, parameter + i);
    if constexpr (with_average) {
      const auto a = hn::LoadU(d, average + i);
      hn::StoreU(hn::MulAdd(hn::Sub(p, a), hn::Set(d, k.average_rest), a), d, average + i);
    }
  });
}

void adam_range(const AdamCoefficients& k, float* parameter, const float* gradient, float* first, float* second,
                float* average, std::int64_t count) {
  if (average != nullptr)
    adam_range_of<true>(k, parameter, gradient, first, second, average, count);
  else
    adam_range_of<false>(k, parameter, gradient, first, second, average, count);
}

/// The sum of squares, formed in double: a float32 square may overflow or vanish.
double sum_of_squares(const float* x, std::int64_t count) {
  const hn::ScalableTag<double> wide;
  const hn::Rebind<float, decltype(wide)> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  auto sum0 = hn::Zero(wide), sum1 = hn::Zero(wide);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto u = hn::PromoteTo(wide, hn::LoadU(d, x + i));
    const auto v = hn::PromoteTo(wide, hn::LoadU(d, x + i + lanes));
    sum0 = hn::MulAdd(u, u, sum0);
    sum1 = hn::MulAdd(v, v, sum1);
  }
  double total = hn::GetLane(hn::SumOfLanes(wide, hn::Add(sum0, sum1)));
  for (; i < count; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

std::int64_t nonfinite_in(const float* x, std::int64_t count) {
  std::int64_t found = 0;
  for_each_vector(count, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto finite = hn::IsFinite(hn::LoadU(d, x + i));
    if (HWY_UNLIKELY(!hn::AllTrue(d, finite)))
      found += static_cast<std::int64_t>(hn::Lanes(d) - hn::CountTrue(d, finite));
  });
  return found;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<AdamStep> adam_step{"adam_step"};
constinit Operation<GlobalNorm> global_norm{"global_norm"};
constinit Operation<CountNonfinite> count_nonfinite{"count_nonfinite"};

namespace {

HWY_EXPORT(adam_range);
HWY_EXPORT(sum_of_squares);
HWY_EXPORT(nonfinite_in);
constexpr std::int64_t grain = 16384;  // elements worth waking a thread for

/// Calls body(i, begin, end) for the parts of arrays that lie in each thread's share of all their elements in a row.
template <class Count, class Body>
void parallel_over_arrays(std::int64_t arrays, Count&& count_of, Body&& body) {
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < arrays; ++i) total += count_of(i);
  parallel_for(total, grain, [&](std::int64_t first, std::int64_t last) {
    std::int64_t start = 0;
    for (std::int64_t i = 0; i < arrays && start < last; ++i) {
      const std::int64_t count = count_of(i);
      const std::int64_t begin = std::max<std::int64_t>(first - start, 0), end = std::min(last - start, count);
      if (begin < end) body(i, begin, end);
      start += count;
    }
  });
}

void adam_step_cpu(Stream&, const AdamStep& arguments) {
  const float gradient_scale = arguments.gradient_scale ? arguments.gradient_scale.as<float>()[0] : 1.0f;
  const AdamCoefficients k = adam_coefficients(arguments, gradient_scale);
  parallel_over_arrays(
      static_cast<std::int64_t>(arguments.tensors.size()),
      [&](std::int64_t i) { return arguments.tensors[static_cast<std::size_t>(i)].parameter.count(); },
      [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
        const OptimizerTensor& tensor = arguments.tensors[static_cast<std::size_t>(i)];
        HWY_DYNAMIC_DISPATCH(adam_range)
        (k, tensor.parameter.as<float>() + begin, tensor.gradient.as<float>() + begin,
         tensor.first_moment.as<float>() + begin, tensor.second_moment.as<float>() + begin,
         tensor.average ? tensor.average.as<float>() + begin : nullptr, end - begin);
      });
}

/// Sums over fixed blocks of each array, added in order: the same bits whatever the thread count.
void global_norm_cpu(Stream&, const GlobalNorm& arguments) {
  struct Block {
    const float* data;
    std::int64_t count;
  };
  std::vector<Block> blocks;
  for (const Array& array : arguments.arrays)
    for (std::int64_t first = 0; first < array.count(); first += grain)
      blocks.push_back({array.as<float>() + first, std::min(grain, array.count() - first)});
  std::vector<double> sums(blocks.size());
  parallel_for(static_cast<std::int64_t>(blocks.size()), 2, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const Block& block = blocks[static_cast<std::size_t>(i)];
      sums[static_cast<std::size_t>(i)] = HWY_DYNAMIC_DISPATCH(sum_of_squares)(block.data, block.count);
    }
  });
  const double norm = std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
  arguments.norm.as<float>()[0] = static_cast<float>(norm);
  if (arguments.scale)
    arguments.scale.as<float>()[0] =
        arguments.max_norm > 0.0 && norm > arguments.max_norm ? static_cast<float>(arguments.max_norm / norm) : 1.0f;
}

void count_nonfinite_cpu(Stream&, const CountNonfinite& arguments) {
  std::int64_t found = 0;
  parallel_over_arrays(
      static_cast<std::int64_t>(arguments.arrays.size()),
      [&](std::int64_t i) { return arguments.arrays[static_cast<std::size_t>(i)].count(); },
      [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
        const float* x = arguments.arrays[static_cast<std::size_t>(i)].as<float>();
        const std::int64_t here = HWY_DYNAMIC_DISPATCH(nonfinite_in)(x + begin, end - begin);
#pragma omp atomic
        found += here;
      });
  arguments.count.as<std::int64_t>()[0] = found;
}

const bool registered = adam_step.implement(DeviceKind::cpu, &adam_step_cpu) &&
                        global_norm.implement(DeviceKind::cpu, &global_norm_cpu) &&
                        count_nonfinite.implement(DeviceKind::cpu, &count_nonfinite_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
