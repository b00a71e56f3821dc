#include "kernels/layer_norm/layer_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm/layer_norm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// One token: statistics in two passes over the row, then y = ((x - mean) rstd) factor[c] + addend[c].
void forward_row(const float* x, std::int64_t channels, const float* factor, const float* addend, double epsilon,
                 float* y, float* mean_out, float* rstd_out) {
  const auto width = static_cast<double>(channels);
  const auto centre = static_cast<float>(
      blocked_sum(channels, [&](auto d, std::int64_t c) HWY_ATTR { return hn::LoadU(d, x + c); }) / width);
  // What rounding took from the centre is found by the second pass.
  const double shift =
      blocked_sum(channels,
                  [&](auto d, std::int64_t c) HWY_ATTR { return hn::Sub(hn::LoadU(d, x + c), hn::Set(d, centre)); }) /
      width;
  const double square = blocked_sum(channels,
                                    [&](auto d, std::int64_t c) HWY_ATTR {
                                      const auto u = hn::Sub(hn::LoadU(d, x + c), hn::Set(d, centre));
                                      return hn::Mul(u, u);
                                    }) /
                        width;
  const double rstd = 1.0 / std::sqrt(std::max(0.0, square - shift * shift) + epsilon);
  *mean_out = static_cast<float>(static_cast<double>(centre) + shift);
  *rstd_out = static_cast<float>(rstd);
  const auto residual = static_cast<float>(-shift * rstd);
  const auto slope = static_cast<float>(rstd);
  map_vectors(channels, y, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto u = hn::Sub(hn::LoadU(d, x + c), hn::Set(d, centre));
    const auto normalised = hn::MulAdd(u, hn::Set(d, slope), hn::Set(d, residual));
    return hn::MulAdd(normalised, hn::LoadU(d, factor + c), hn::LoadU(d, addend + c));
  });
}

/// One token of the backward; gradient_sum[c] += grad_y, product_sum[c] += grad_y normalised.
void backward_row(const float* x, const float* grad_y, std::int64_t channels, const float* factor, float mean,
                  float rstd, bool accumulate, float* grad_x, float* gradient_sum, float* product_sum) {
  const auto normalised = [&](auto d, std::int64_t c) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + c), hn::Set(d, mean)), hn::Set(d, rstd));
  };
  for_each_vector(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto gradient = hn::LoadU(d, grad_y + c);
    hn::StoreU(hn::Add(hn::LoadU(d, gradient_sum + c), gradient), d, gradient_sum + c);
    hn::StoreU(hn::MulAdd(gradient, normalised(d, c), hn::LoadU(d, product_sum + c)), d, product_sum + c);
  });
  if (grad_x == nullptr) return;
  const double width = static_cast<double>(channels);
  const auto mean_gradient = static_cast<float>(
      blocked_sum(channels, [&](auto d, std::int64_t c)
                                HWY_ATTR { return hn::Mul(hn::LoadU(d, grad_y + c), hn::LoadU(d, factor + c)); }) /
      width);
  const auto mean_product = static_cast<float>(blocked_sum(channels,
                                                           [&](auto d, std::int64_t c) HWY_ATTR {
                                                             const auto gradient = hn::Mul(hn::LoadU(d, grad_y + c),
                                                                                           hn::LoadU(d, factor + c));
                                                             return hn::Mul(gradient, normalised(d, c));
                                                           }) /
                                               width);
  map_vectors(channels, grad_x, [&](auto d, std::int64_t c) HWY_ATTR {
    auto gradient = hn::MulSub(hn::LoadU(d, grad_y + c), hn::LoadU(d, factor + c), hn::Set(d, mean_gradient));
    gradient = hn::NegMulAdd(normalised(d, c), hn::Set(d, mean_product), gradient);
    gradient = hn::Mul(gradient, hn::Set(d, rstd));
    if (accumulate) gradient = hn::Add(gradient, hn::LoadU(d, grad_x + c));
    return gradient;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<LayerNormForward> layer_norm_forward{"layer_norm_forward"};
constinit Operation<LayerNormBackward> layer_norm_backward{"layer_norm_backward"};

namespace {

HWY_EXPORT(forward_row);
HWY_EXPORT(backward_row);

/// A sample's affine map of the normalised values: y = normalised factor[c] + addend[c].
template <class Arguments>
void fill_affine(const Arguments& arguments, std::int64_t n, std::vector<float>& factor, std::vector<float>& addend) {
  const std::int64_t channels = arguments.x.shape[2];
  for (std::int64_t c = 0; c < channels; ++c) {
    const double gamma = arguments.gamma ? arguments.gamma.template as<float>()[c] : 1.0;
    const double beta = arguments.beta ? arguments.beta.template as<float>()[c] : 0.0;
    const double scale = arguments.scale ? arguments.scale.template as<float>()[n * channels + c] : 0.0;
    const double shift = arguments.shift ? arguments.shift.template as<float>()[n * channels + c] : 0.0;
    factor[static_cast<std::size_t>(c)] = static_cast<float>(gamma * (1.0 + scale));
    addend[static_cast<std::size_t>(c)] = static_cast<float>(beta * (1.0 + scale) + shift);
  }
}

void forward_cpu(Stream&, const LayerNormForward& arguments) {
  const std::int64_t tokens = arguments.x.shape[1], channels = arguments.x.shape[2];
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  float* mean = arguments.mean.as<float>();
  float* rstd = arguments.rstd.as<float>();
  parallel_for(arguments.x.shape[0] * tokens, std::max<std::int64_t>(1, 8192 / channels),
               [&](std::int64_t first, std::int64_t last) {
                 std::vector<float> factor(static_cast<std::size_t>(channels)), addend(factor.size());
                 for (std::int64_t row = first; row < last; ++row) {
                   // Without scale and shift every sample's map is the same.
                   if (row == first || (row % tokens == 0 && arguments.scale))
                     fill_affine(arguments, row / tokens, factor, addend);
                   HWY_DYNAMIC_DISPATCH(forward_row)
                   (x + row * channels, channels, factor.data(), addend.data(), arguments.epsilon, y + row * channels,
                    mean + row, rstd + row);
                 }
               });
}

/// The samples of one job, in order; parameter_sums gets the job's share of grad_gamma and grad_beta.
void backward_samples(const LayerNormBackward& arguments, std::int64_t first, std::int64_t last,
                      double* parameter_sums) {
  const std::int64_t tokens = arguments.x.shape[1], channels = arguments.x.shape[2];
  const auto width = static_cast<std::size_t>(channels);
  constexpr std::int64_t block = 64;  // rows summed in float32 before their sum goes to double
  std::vector<float> factor(width), addend(width), lane(2 * width);
  std::vector<double> sums(2 * width);
  for (std::int64_t n = first; n < last; ++n) {
    fill_affine(arguments, n, factor, addend);
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::int64_t start = 0; start < tokens; start += block) {
      std::fill(lane.begin(), lane.end(), 0.0f);
      for (std::int64_t row = n * tokens + start; row < n * tokens + std::min(tokens, start + block); ++row)
        HWY_DYNAMIC_DISPATCH(backward_row)
      (arguments.x.as<float>() + row * channels, arguments.grad_y.as<float>() + row * channels, channels, factor.data(),
       arguments.mean.as<float>()[row], arguments.rstd.as<float>()[row], arguments.write == Write::accumulate,
       arguments.grad_x ? arguments.grad_x.as<float>() + row * channels : nullptr, lane.data(), lane.data() + channels);
      for (std::size_t i = 0; i < 2 * width; ++i) sums[i] += lane[i];
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const double gradient = sums[static_cast<std::size_t>(c)], product = sums[static_cast<std::size_t>(channels + c)];
      const double gamma = arguments.gamma ? arguments.gamma.as<float>()[c] : 1.0;
      const double beta = arguments.beta ? arguments.beta.as<float>()[c] : 0.0;
      const double modulation = arguments.scale ? 1.0 + arguments.scale.as<float>()[n * channels + c] : 1.0;
      if (arguments.grad_shift) arguments.grad_shift.as<float>()[n * channels + c] = static_cast<float>(gradient);
      if (arguments.grad_scale)
        arguments.grad_scale.as<float>()[n * channels + c] = static_cast<float>(gamma * product + beta * gradient);
      parameter_sums[c] += modulation * product;
      parameter_sums[channels + c] += modulation * gradient;
    }
  }
}

void backward_cpu(Stream&, const LayerNormBackward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], channels = arguments.x.shape[2];
  // At most 64 jobs of whole samples, added in order: the same bits whatever the thread count.
  const std::int64_t jobs = std::min<std::int64_t>(samples, 64);
  std::vector<double> parameter_sums(static_cast<std::size_t>(jobs * 2 * channels));
  const std::int64_t elements_of_job = arguments.x.count() / std::max<std::int64_t>(1, jobs);
  parallel_for(jobs, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, elements_of_job)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t job = first; job < last; ++job)
                   backward_samples(arguments, samples * job / jobs, samples * (job + 1) / jobs,
                                    parameter_sums.data() + job * 2 * channels);
               });
  const auto add = [&](const Array& gradient, std::int64_t offset) {
    if (!gradient) return;
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0.0;
      for (std::int64_t job = 0; job < jobs; ++job)
        sum += parameter_sums[static_cast<std::size_t>(job * 2 * channels + offset + c)];
      gradient.as<float>()[c] = static_cast<float>(gradient.as<float>()[c] + sum);
    }
  };
  add(arguments.grad_gamma, 0);
  add(arguments.grad_beta, channels);
}

const bool registered = layer_norm_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        layer_norm_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
