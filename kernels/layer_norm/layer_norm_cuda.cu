#include "kernels/group_norm/norm_gradients.cuh"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/runtime/rows.cuh"

namespace tweedie {
namespace {

/// The operands of either direction; gamma and beta, and scale and shift, may be null.
template <class T>
struct LayerNormPlan {
  const T* x;
  const float *gamma, *beta, *scale, *shift;
  std::int64_t samples, tokens, channels;
};

/// y = normalised factor + addend, for one pack of channels of sample n.
template <int width>
struct Affine {
  Pack<float, width> factor, addend;
};
template <int width, class T>
__device__ Affine<width> affine_at(const LayerNormPlan<T>& plan, std::int64_t n, std::int64_t channel) {
  Affine<width> map;
  for (int k = 0; k < width; ++k) {
    map.factor[k] = 1.0f;
    map.addend[k] = 0.0f;
  }
  if (plan.gamma != nullptr) {
    map.factor = load_floats<width>(plan.gamma + channel);
    map.addend = load_floats<width>(plan.beta + channel);
  }
  if (plan.scale != nullptr) {
    const auto scale = load_floats<width>(plan.scale + n * plan.channels + channel);
    const auto shift = load_floats<width>(plan.shift + n * plan.channels + channel);
    for (int k = 0; k < width; ++k) {
      map.factor[k] *= 1.0f + scale[k];
      map.addend[k] = fmaf(map.addend[k], 1.0f + scale[k], shift[k]);
    }
  }
  return map;
}

/// A team a token. Two passes over values held in registers; what rounding took from the centre is found by the second.
template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads)
    layer_norm_kernel(LayerNormPlan<T> plan, T* y, float* mean, float* rstd, double epsilon) {
  __shared__ float shared[32];
  const auto channels = static_cast<double>(plan.channels);
  for (std::int64_t row = team_index<team>(); row < plan.samples * plan.tokens; row += teams<team>()) {
    const RowPart<T, team, width> part({plan.x + row * plan.channels}, plan.channels);
    float sum = 0.0f;
    part.for_each([&](const auto& packs, std::int64_t) {
      for (int k = 0; k < width; ++k) sum += packs.of[0][k];
    });
    const auto centre = static_cast<float>(team_sum<team>(sum, shared) / channels);
    float rest = 0.0f, square = 0.0f;
    part.for_each([&](const auto& packs, std::int64_t) {
      for (int k = 0; k < width; ++k) {
        const float u = packs.of[0][k] - centre;
        rest += u;
        square = fmaf(u, u, square);
      }
    });
    const double offset = team_sum<team>(rest, shared) / channels;
    const double variance = team_sum<team>(square, shared) / channels - offset * offset;
    const double slope = 1.0 / sqrt(fmax(0.0, variance) + epsilon);
    if (threadIdx.x % team == 0) {
      mean[row] = static_cast<float>(centre + offset);
      rstd[row] = static_cast<float>(slope);
    }
    const auto factor = static_cast<float>(slope), residual = static_cast<float>(-offset * slope);
    part.for_each([&](const auto& packs, std::int64_t channel) {
      const auto map = affine_at<width>(plan, row / plan.tokens, channel);
      Pack<float, width> result;
      for (int k = 0; k < width; ++k)
        result[k] = fmaf(fmaf(packs.of[0][k] - centre, factor, residual), map.factor[k], map.addend[k]);
      store_floats(y + row * plan.channels + channel, result);
    });
  }
}

template <class T>
struct BackwardPlan {
  LayerNormPlan<T> forward;
  const float *mean, *rstd;
  const T* grad_y;
  T* grad_x;  // or null
  bool accumulate;
  std::int64_t tokens_of_run, runs;  // a block takes runs of tokens of one sample
};

/// A block walks a run of tokens, a team a token. It writes grad_x and the run's sums over tokens, sums (samples, runs,
/// 2, channels): of grad_y, and of grad_y normalised. Threads keep the sums of their own channels in registers, in the
/// tokens' order; the warps' sums meet in shared memory, warps x 2 x channels.
template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads) layer_norm_backward_kernel(BackwardPlan<T> plan, float* sums) {
  using Part = RowPart<T, team, width, 2>;
  extern __shared__ __align__(16) float warp_sums[];
  __shared__ float shared[32];
  const LayerNormPlan<T>& forward = plan.forward;
  const std::int64_t channels = forward.channels;
  const int warp = static_cast<int>(threadIdx.x) / team;
  constexpr int warps = block_threads / team;
  for (std::int64_t run = blockIdx.x; run < forward.samples * plan.runs; run += gridDim.x) {
    const std::int64_t n = run / plan.runs, first = run % plan.runs * plan.tokens_of_run;
    const std::int64_t last = first + plan.tokens_of_run < forward.tokens ? first + plan.tokens_of_run : forward.tokens;
    float* gradient_sum = sums + 2 * run * channels;
    float* product_sum = gradient_sum + channels;
    Pack<float, width> held_gradient[Part::held_packs] = {}, held_product[Part::held_packs] = {};
    for (std::int64_t token = first + warp; token < last; token += warps) {
      const std::int64_t row = n * forward.tokens + token, at = row * channels;
      const float mean = plan.mean[row], rstd = plan.rstd[row];
      const Part part({forward.x + at, plan.grad_y + at}, channels);
      float gradients = 0.0f, products = 0.0f;
      part.for_each_numbered([&](auto k, const auto& packs, std::int64_t channel) {
        const auto map = affine_at<width>(forward, n, channel);
        Pack<float, width> gradient = {}, product = {};
        static_assert(k() < Part::held_packs || team == block_threads);
        if constexpr (k() < Part::held_packs) {
          gradient = held_gradient[k()];
          product = held_product[k()];
        } else if (token > first) {  // rows too long for registers: the team is the block, and memory keeps the sums
          gradient = load_floats<width>(gradient_sum + channel);
          product = load_floats<width>(product_sum + channel);
        }
        for (int j = 0; j < width; ++j) {
          const float g = packs.of[1][j], normalised = (packs.of[0][j] - mean) * rstd;
          gradients = fmaf(g, map.factor[j], gradients);
          products = fmaf(g * map.factor[j], normalised, products);
          gradient[j] += g;
          product[j] = fmaf(g, normalised, product[j]);
        }
        if constexpr (k() < Part::held_packs) {
          held_gradient[k()] = gradient;
          held_product[k()] = product;
        } else {
          store_floats(gradient_sum + channel, gradient);
          store_floats(product_sum + channel, product);
        }
      });
      const float mean_gradient = team_sum<team>(gradients, shared) / static_cast<float>(channels);
      const float mean_product = team_sum<team>(products, shared) / static_cast<float>(channels);
      if (plan.grad_x == nullptr) continue;
      part.for_each([&](const auto& packs, std::int64_t channel) {
        const auto map = affine_at<width>(forward, n, channel);
        T* to = plan.grad_x + at + channel;
        auto result = plan.accumulate ? load_floats<width>(to) : Pack<float, width>{};
        for (int j = 0; j < width; ++j) {
          const float normalised = (packs.of[0][j] - mean) * rstd;
          const float gradient = fmaf(packs.of[1][j], map.factor[j], -mean_gradient);
          result[j] = fmaf(fmaf(-normalised, mean_product, gradient), rstd, result[j]);
        }
        store_floats(to, result);
      });
    }
    float* own = team == 32 ? warp_sums + 2 * warp * channels : gradient_sum;
    Part::for_each_held([&](auto k) {
      const std::int64_t channel = Part::column(k());
      if (channel >= channels) return;
      store_floats(own + channel, held_gradient[k()]);
      store_floats(own + channels + channel, held_product[k()]);
    });
    if constexpr (team == 32) {
      __syncthreads();
#pragma unroll 1  // short rows need few of these
      for (std::int64_t i = threadIdx.x; i < 2 * channels; i += block_threads) {
        float sum = 0.0f;
        for (int w = 0; w < warps; ++w) sum += warp_sums[2 * w * channels + i];
        gradient_sum[i] = sum;
      }
      __syncthreads();
    }
  }
}

template <class T, class Arguments>
LayerNormPlan<T> plan_of(const Arguments& arguments) {
  const Array& x = arguments.x;
  return {.x = x.as<T>(),
          .gamma = optional_values<float>(arguments.gamma),
          .beta = optional_values<float>(arguments.beta),
          .scale = optional_values<float>(arguments.scale),
          .shift = optional_values<float>(arguments.shift),
          .samples = x.shape[0],
          .tokens = x.shape[1],
          .channels = x.shape[2]};
}
/// What rows are moved by, `others` being further operands of their shape.
template <class T, class... Pointers>
int width_of_rows(const LayerNormPlan<T>& plan, Pointers... others) {
  const bool packed = plan.channels % pack_width<T> == 0 &&
                      aligned_16(plan.x, plan.gamma, plan.beta, plan.scale, plan.shift, others...);
  return packed ? pack_width<T> : 1;
}

template <class T>
void forward_as(Stream& stream, const LayerNormForward& arguments) {
  constexpr int width = pack_width<T>;
  const LayerNormPlan<T> plan = plan_of<T>(arguments);
  const std::int64_t rows = plan.samples * plan.tokens;
  if (rows == 0) return;
  T* y = arguments.y.as<T>();
  const int row_width = width_of_rows(plan, y);
  const auto kernel = choose_row_kernel(plan.channels, row_width, &layer_norm_kernel<T, short_team, width>,
                                        &layer_norm_kernel<T, short_team, 1>, &layer_norm_kernel<T, long_team, width>,
                                        &layer_norm_kernel<T, long_team, 1>);
  const unsigned blocks = blocks_for_rows(stream, rows, plan.channels, row_width);
  launch(stream, {"layer_norm_forward", arguments.x.shape, blocks, block_threads}, kernel, plan, y,
         arguments.mean.as<float>(), arguments.rstd.as<float>(), arguments.epsilon);
}

template <class T>
void backward_as(Stream& stream, const LayerNormBackward& arguments) {
  constexpr int width = pack_width<T>;
  constexpr std::int64_t tokens_of_run = 64;  // its sums are then a few percent of the bytes
  BackwardPlan<T> plan{.forward = plan_of<T>(arguments),
                       .mean = arguments.mean.as<float>(),
                       .rstd = arguments.rstd.as<float>(),
                       .grad_y = arguments.grad_y.as<T>(),
                       .grad_x = optional_values<T>(arguments.grad_x),
                       .accumulate = arguments.write == Write::accumulate,
                       .tokens_of_run = tokens_of_run};
  const LayerNormPlan<T>& forward = plan.forward;
  plan.runs = (forward.tokens + tokens_of_run - 1) / tokens_of_run;
  const std::int64_t runs = forward.samples * plan.runs;
  if (runs == 0) return;
  const Scratch sums(stream, sizeof(float) * 2 * static_cast<std::size_t>(runs * forward.channels));
  const int row_width = width_of_rows(forward, plan.grad_y, plan.grad_x);
  const auto kernel =
      choose_row_kernel(forward.channels, row_width, &layer_norm_backward_kernel<T, short_team, width>,
                        &layer_norm_backward_kernel<T, short_team, 1>, &layer_norm_backward_kernel<T, long_team, width>,
                        &layer_norm_backward_kernel<T, long_team, 1>);
  const std::size_t shared =
      takes_long_team(forward.channels, row_width) ? 0 : sizeof(float) * 2 * 8 * forward.channels;
  launch(stream,
         {"layer_norm_backward", arguments.x.shape, blocks_for(stream, runs * block_threads), block_threads, shared},
         kernel, plan, sums.as<float>());
  finish_norm_gradients(stream,
                        {.operation = "layer_norm_backward",
                         .samples = forward.samples,
                         .runs = plan.runs,
                         .channels = forward.channels,
                         .sums = sums.as<float>(),
                         .gamma = forward.gamma,
                         .beta = forward.beta,
                         .scale = forward.scale},
                        arguments);
}

void forward_cuda(Stream& stream, const LayerNormForward& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) { forward_as<T>(stream, arguments); });
}
void backward_cuda(Stream& stream, const LayerNormBackward& arguments) {
  with_value_type(arguments.x, [&]<class T>(T) { backward_as<T>(stream, arguments); });
}

const bool registered = layer_norm_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        layer_norm_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie
