#include "kernels/group_norm/group_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/group_norm/group_norm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/group_norm/group_norm_plane.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

// A thread takes whole samples: a plane of S x C floats stays in its second-level cache, so that memory is read once
// and written once though every plane is walked twice or more. Channels lie in vector lanes; sums run over blocks of
// rows in float32, the blocks' sums in double.

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// sums[c] = sum of x, squares[c] = sum of x^2 over the plane, in double. Each block of rows is summed about its own
/// mean (two passes in the nearest cache), so a large offset costs no digits.
void channel_moments(const float* x, std::int64_t positions, std::int64_t channels, float* lane, double* sums,
                     double* squares) {
  std::fill(sums, sums + channels, 0.0);
  std::fill(squares, squares + channels, 0.0);
  float* centre = lane;
  float* first_moment = lane + channels;
  float* second_moment = lane + 2 * channels;
  const std::int64_t block = rows_of_block(channels);
  for (std::int64_t first = 0; first < positions; first += block) {
    const std::int64_t rows = std::min(block, positions - first);
    const float* plane = x + first * channels;
    const float reciprocal = 1.0f / static_cast<float>(rows);
    for_each_vector(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      auto even = hn::Zero(d), odd = hn::Zero(d);
      std::int64_t row = 0;
      for (; row + 2 <= rows; row += 2) {
        even = hn::Add(even, hn::LoadU(d, plane + row * channels + c));
        odd = hn::Add(odd, hn::LoadU(d, plane + (row + 1) * channels + c));
      }
      if (row < rows) even = hn::Add(even, hn::LoadU(d, plane + row * channels + c));
      const auto k = hn::Mul(hn::Add(even, odd), hn::Set(d, reciprocal));
      auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), square0 = hn::Zero(d), square1 = hn::Zero(d);
      for (row = 0; row + 2 <= rows; row += 2) {
        const auto u = hn::Sub(hn::LoadU(d, plane + row * channels + c), k);
        const auto v = hn::Sub(hn::LoadU(d, plane + (row + 1) * channels + c), k);
        sum0 = hn::Add(sum0, u);
        sum1 = hn::Add(sum1, v);
        square0 = hn::MulAdd(u, u, square0);
        square1 = hn::MulAdd(v, v, square1);
      }
      if (row < rows) {
        const auto u = hn::Sub(hn::LoadU(d, plane + row * channels + c), k);
        sum0 = hn::Add(sum0, u);
        square0 = hn::MulAdd(u, u, square0);
      }
      hn::StoreU(k, d, centre + c);
      hn::StoreU(hn::Add(sum0, sum1), d, first_moment + c);
      hn::StoreU(hn::Add(square0, square1), d, second_moment + c);
    });
    const auto n = static_cast<double>(rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double k = centre[c], sum = first_moment[c];
      sums[c] += n * k + sum;
      squares[c] += second_moment[c] + k * (2.0 * sum + n * k);
    }
  }
}

/// y = (x - centre[c]) factor[c] + addend[c], through silu where asked for.
template <bool with_silu>
void apply_rows(const float* x, std::int64_t positions, std::int64_t channels, const float* centre, const float* factor,
                const float* addend, float* y) {
  for (std::int64_t row = 0; row < positions; ++row, x += channels, y += channels)
    map_vectors(channels, y, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto u = hn::Sub(hn::LoadU(d, x + c), hn::LoadU(d, centre + c));
      const auto m = hn::MulAdd(u, hn::LoadU(d, factor + c), hn::LoadU(d, addend + c));
      if constexpr (with_silu)
        return silu(d, m);
      else
        return m;
    });
}

void apply(const float* x, std::int64_t positions, std::int64_t channels, const float* centre, const float* factor,
           const float* addend, bool with_silu, float* y) {
  if (with_silu)
    apply_rows<true>(x, positions, channels, centre, factor, addend, y);
  else
    apply_rows<false>(x, positions, channels, centre, factor, addend, y);
}

/// First pass of the backward: gradient_m = grad_y silu'(m), kept where asked for, and the plane's sums.
template <bool with_silu>
void backward_sums_of(const float* x, const float* grad_y, std::int64_t positions, std::int64_t channels,
                      const BackwardChannels& channel, float* lane, float* gradient_m, double* sums) {
  std::fill(sums, sums + 3 * channels, 0.0);
  const std::int64_t block = rows_of_block(channels);
  for (std::int64_t first = 0; first < positions; first += block) {
    const std::int64_t rows = std::min(block, positions - first);
    const std::int64_t offset = first * channels;
    for_each_vector(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto centre = hn::LoadU(d, channel.centre + c), rstd = hn::LoadU(d, channel.rstd + c);
      const auto residual = hn::LoadU(d, channel.residual + c);
      const auto factor = hn::LoadU(d, channel.factor + c), addend = hn::LoadU(d, channel.addend + c);
      auto sum = hn::Zero(d), product = hn::Zero(d), normalised_sum = hn::Zero(d);
      const auto normalised_at = [&](std::int64_t i) HWY_ATTR {
        return hn::MulAdd(hn::Sub(hn::LoadU(d, x + i), centre), rstd, residual);
      };
      const auto gradient_at = [&](std::int64_t i, auto normalised) HWY_ATTR {
        const auto gradient = hn::LoadU(d, grad_y + i);
        if constexpr (with_silu)
          return hn::Mul(gradient, silu_derivative(d, hn::MulAdd(normalised, factor, addend)));
        else
          return gradient;
      };
      std::int64_t row = 0;
      for (; row + 2 <= rows; row += 2) {  // two rows' chains of dependent operations overlap
        const std::int64_t i = offset + row * channels + c, j = i + channels;
        const auto normalised0 = normalised_at(i), normalised1 = normalised_at(j);
        const auto gradient0 = gradient_at(i, normalised0), gradient1 = gradient_at(j, normalised1);
        if constexpr (with_silu) {
          hn::StoreU(gradient0, d, gradient_m + i);
          hn::StoreU(gradient1, d, gradient_m + j);
        }
        sum = hn::Add(sum, hn::Add(gradient0, gradient1));
        product = hn::MulAdd(gradient0, normalised0, hn::MulAdd(gradient1, normalised1, product));
        normalised_sum = hn::Add(normalised_sum, hn::Add(normalised0, normalised1));
      }
      if (row < rows) {
        const std::int64_t i = offset + row * channels + c;
        const auto normalised = normalised_at(i);
        const auto gradient = gradient_at(i, normalised);
        if constexpr (with_silu) hn::StoreU(gradient, d, gradient_m + i);
        sum = hn::Add(sum, gradient);
        product = hn::MulAdd(gradient, normalised, product);
        normalised_sum = hn::Add(normalised_sum, normalised);
      }
      hn::StoreU(sum, d, lane + c);
      hn::StoreU(product, d, lane + channels + c);
      hn::StoreU(normalised_sum, d, lane + 2 * channels + c);
    });
    for (std::int64_t c = 0; c < 3 * channels; ++c) sums[c] += lane[c];
  }
}

void backward_sums(const float* x, const float* grad_y, std::int64_t positions, std::int64_t channels,
                   const BackwardChannels& channel, bool with_silu, float* lane, float* gradient_m, double* sums) {
  if (with_silu)
    backward_sums_of<true>(x, grad_y, positions, channels, channel, lane, gradient_m, sums);
  else
    backward_sums_of<false>(x, grad_y, positions, channels, channel, lane, gradient_m, sums);
}

/// Second pass: grad_x (write) gradient_m p[c] + (x - centre[c]) q[c] + r[c].
template <bool accumulate>
void backward_rows(const float* x, const float* gradient_m, std::int64_t positions, std::int64_t channels,
                   const float* centre, const float* p, const float* q, const float* r, float* grad_x) {
  for (std::int64_t row = 0; row < positions; ++row, x += channels, gradient_m += channels, grad_x += channels)
    map_vectors(channels, grad_x, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto u = hn::Sub(hn::LoadU(d, x + c), hn::LoadU(d, centre + c));
      auto gradient = hn::MulAdd(u, hn::LoadU(d, q + c), hn::LoadU(d, r + c));
      gradient = hn::MulAdd(hn::LoadU(d, gradient_m + c), hn::LoadU(d, p + c), gradient);
      if constexpr (accumulate) gradient = hn::Add(gradient, hn::LoadU(d, grad_x + c));
      return gradient;
    });
}

void backward_apply(const float* x, const float* gradient_m, std::int64_t positions, std::int64_t channels,
                    const float* centre, const float* p, const float* q, const float* r, bool accumulate,
                    float* grad_x) {
  if (accumulate)
    backward_rows<true>(x, gradient_m, positions, channels, centre, p, q, r, grad_x);
  else
    backward_rows<false>(x, gradient_m, positions, channels, centre, p, q, r, grad_x);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<GroupNormForward> group_norm_forward{"group_norm_forward"};
constinit Operation<GroupNormBackward> group_norm_backward{"group_norm_backward"};

namespace {

HWY_EXPORT(channel_moments);
HWY_EXPORT(apply);
HWY_EXPORT(backward_sums);
HWY_EXPORT(backward_apply);

/// Row n of an optional (N, C) operand.
const float* row_of(const Array& array, std::int64_t n) {
  return array ? array.as<float>() + n * array.shape[-1] : nullptr;
}
float* output_row(const Array& array, std::int64_t n) {
  return array ? array.as<float>() + n * array.shape[-1] : nullptr;
}

void forward_sample(const GroupNormForward& arguments, std::int64_t n, std::vector<float>& floats,
                    std::vector<double>& doubles) {
  const std::int64_t positions = arguments.x.shape[1], channels = arguments.x.shape[2];
  const std::int64_t channels_of_group = channels / arguments.groups;
  const float* x = arguments.x.as<float>() + n * positions * channels;
  const float* input_shift = row_of(arguments.input_shift, n);
  const float* scale = row_of(arguments.scale, n);
  const float* shift = row_of(arguments.shift, n);
  const float* gamma = arguments.gamma.as<float>();
  const float* beta = arguments.beta.as<float>();
  double* sums = doubles.data();
  double* squares = sums + channels;
  HWY_DYNAMIC_DISPATCH(channel_moments)(x, positions, channels, floats.data(), sums, squares);
  float* centre = floats.data();
  float* factor = centre + channels;
  float* addend = factor + channels;
  const auto s = static_cast<double>(positions);
  const double count = s * static_cast<double>(channels_of_group);
  for (std::int64_t g = 0; g < arguments.groups; ++g) {
    const std::int64_t first = g * channels_of_group, last = first + channels_of_group;
    double sum = 0.0, square = 0.0;
    for (std::int64_t c = first; c < last; ++c) {
      const double added = input_shift != nullptr ? input_shift[c] : 0.0;  // moments of x + added from those of x
      sum += sums[c] + s * added;
      square += squares[c] + added * (2.0 * sums[c] + s * added);
    }
    const double mean = sum / count;
    const double variance = std::max(0.0, square / count - mean * mean);
    const double rstd = 1.0 / std::sqrt(variance + arguments.epsilon);
    arguments.mean.as<float>()[n * arguments.groups + g] = static_cast<float>(mean);
    arguments.rstd.as<float>()[n * arguments.groups + g] = static_cast<float>(rstd);
    for (std::int64_t c = first; c < last; ++c) {
      const double modulation = scale != nullptr ? 1.0 + static_cast<double>(scale[c]) : 1.0;
      const double slope = rstd * gamma[c] * modulation;
      const double middle = mean - (input_shift != nullptr ? input_shift[c] : 0.0);
      // x - centre is exact near the mean; what rounding took from the centre returns in the addend.
      centre[c] = static_cast<float>(middle);
      factor[c] = static_cast<float>(slope);
      addend[c] = static_cast<float>(beta[c] * modulation + (shift != nullptr ? shift[c] : 0.0) -
                                     (middle - static_cast<double>(centre[c])) * slope);
    }
  }
  HWY_DYNAMIC_DISPATCH(apply)
  (x, positions, channels, centre, factor, addend, arguments.silu, arguments.y.as<float>() + n * positions * channels);
}

void forward_cpu(Stream&, const GroupNormForward& arguments) {
  const std::int64_t channels = arguments.x.shape[2];
  parallel_for(arguments.x.shape[0], samples_of_grain(arguments.x.shape), [&](std::int64_t first, std::int64_t last) {
    std::vector<float> floats(static_cast<std::size_t>(3 * channels));
    std::vector<double> doubles(static_cast<std::size_t>(2 * channels));
    for (std::int64_t n = first; n < last; ++n) forward_sample(arguments, n, floats, doubles);
  });
}

/// What a thread keeps between the samples of a backward.
struct BackwardScratch {
  BackwardScratch(std::int64_t positions, std::int64_t channels, bool plane)
      : floats(static_cast<std::size_t>(11 * channels)),
        doubles(static_cast<std::size_t>(3 * channels)),
        gradient_m(static_cast<std::size_t>(plane ? positions * channels : 0)) {}
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<float> gradient_m;
};

void backward_sample(const GroupNormBackward& arguments, std::int64_t n, BackwardScratch& scratch,
                     double* parameter_sums) {
  const std::int64_t positions = arguments.x.shape[1], channels = arguments.x.shape[2];
  const std::int64_t channels_of_group = channels / arguments.groups, plane = n * positions * channels;
  const float* x = arguments.x.as<float>() + plane;
  const float* grad_y = arguments.grad_y.as<float>() + plane;
  float* grad_x = arguments.grad_x.as<float>() + plane;
  const float* input_shift = row_of(arguments.input_shift, n);
  const float* scale = row_of(arguments.scale, n);
  const float* shift = row_of(arguments.shift, n);
  const float* gamma = arguments.gamma.as<float>();
  const float* beta = arguments.beta.as<float>();
  const float* mean = arguments.mean.as<float>() + n * arguments.groups;
  const float* rstd = arguments.rstd.as<float>() + n * arguments.groups;
  const auto modulation = [&](std::int64_t c) { return scale != nullptr ? 1.0 + static_cast<double>(scale[c]) : 1.0; };

  float* floats = scratch.floats.data();
  float *centre = floats, *channel_rstd = floats + channels, *residual = floats + 2 * channels;
  float *factor = floats + 3 * channels, *addend = floats + 4 * channels, *lane = floats + 5 * channels;
  float *p = floats + 8 * channels, *q = floats + 9 * channels, *r = floats + 10 * channels;
  for (std::int64_t c = 0; c < channels; ++c) {
    const std::int64_t g = c / channels_of_group;
    const double middle = static_cast<double>(mean[g]) - (input_shift != nullptr ? input_shift[c] : 0.0);
    centre[c] = static_cast<float>(middle);
    channel_rstd[c] = rstd[g];
    residual[c] = static_cast<float>((static_cast<double>(centre[c]) - middle) * rstd[g]);
    factor[c] = static_cast<float>(gamma[c] * modulation(c));
    addend[c] = static_cast<float>(beta[c] * modulation(c) + (shift != nullptr ? shift[c] : 0.0));
  }

  // Where grad_x is overwritten, its own memory keeps the gradient behind the silu between the passes.
  float* kept = arguments.write == Write::accumulate ? scratch.gradient_m.data() : grad_x;
  const float* gradient_m = arguments.silu ? kept : grad_y;
  double* sums = scratch.doubles.data();
  HWY_DYNAMIC_DISPATCH(backward_sums)
  (x, grad_y, positions, channels, {centre, channel_rstd, residual, factor, addend}, arguments.silu, lane, kept, sums);
  const double *gradient_sum = sums, *product_sum = sums + channels, *normalised_sum = sums + 2 * channels;

  float* grad_input_shift = output_row(arguments.grad_input_shift, n);
  float* grad_scale = output_row(arguments.grad_scale, n);
  float* grad_shift = output_row(arguments.grad_shift, n);
  const auto s = static_cast<double>(positions);
  const double count = s * static_cast<double>(channels_of_group);
  for (std::int64_t g = 0; g < arguments.groups; ++g) {
    const std::int64_t first = g * channels_of_group, last = first + channels_of_group;
    double mean_gradient = 0.0, mean_product = 0.0;
    for (std::int64_t c = first; c < last; ++c) {
      mean_gradient += gamma[c] * modulation(c) * gradient_sum[c] / count;
      mean_product += gamma[c] * modulation(c) * product_sum[c] / count;
    }
    for (std::int64_t c = first; c < last; ++c) {
      const double slope = gamma[c] * modulation(c), deviation = rstd[g];
      p[c] = static_cast<float>(deviation * slope);
      q[c] = static_cast<float>(-deviation * deviation * mean_product);
      r[c] = static_cast<float>(-deviation * (mean_gradient + residual[c] * mean_product));
      if (grad_input_shift != nullptr)
        grad_input_shift[c] = static_cast<float>(
            deviation * (slope * gradient_sum[c] - s * mean_gradient - mean_product * normalised_sum[c]));
      if (grad_shift != nullptr) grad_shift[c] = static_cast<float>(gradient_sum[c]);
      if (grad_scale != nullptr)
        grad_scale[c] = static_cast<float>(gamma[c] * product_sum[c] + beta[c] * gradient_sum[c]);
      if (parameter_sums != nullptr) {
        parameter_sums[c] = modulation(c) * product_sum[c];
        parameter_sums[channels + c] = modulation(c) * gradient_sum[c];
      }
    }
  }
  HWY_DYNAMIC_DISPATCH(backward_apply)
  (x, gradient_m, positions, channels, centre, p, q, r, arguments.write == Write::accumulate, grad_x);
}

void backward_cpu(Stream&, const GroupNormBackward& arguments) {
  const std::int64_t samples = arguments.x.shape[0], positions = arguments.x.shape[1], channels = arguments.x.shape[2];
  // A row a sample, added in the samples' order: the same bits whatever the thread count.
  std::vector<double> parameter_sums(static_cast<std::size_t>(arguments.grad_gamma ? samples * 2 * channels : 0));
  parallel_for(samples, samples_of_grain(arguments.x.shape), [&](std::int64_t first, std::int64_t last) {
    BackwardScratch scratch(positions, channels, arguments.silu && arguments.write == Write::accumulate);
    for (std::int64_t n = first; n < last; ++n)
      backward_sample(arguments, n, scratch, arguments.grad_gamma ? parameter_sums.data() + n * 2 * channels : nullptr);
  });
  if (!arguments.grad_gamma) return;
  float* grad_gamma = arguments.grad_gamma.as<float>();
  float* grad_beta = arguments.grad_beta.as<float>();
  std::vector<double> total(static_cast<std::size_t>(2 * channels));
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t c = 0; c < 2 * channels; ++c) total[c] += parameter_sums[n * 2 * channels + c];
  for (std::int64_t c = 0; c < channels; ++c) {
    grad_gamma[c] = static_cast<float>(grad_gamma[c] + total[c]);
    grad_beta[c] = static_cast<float>(grad_beta[c] + total[channels + c]);
  }
}

const bool registered = group_norm_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        group_norm_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
