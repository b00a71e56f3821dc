#include <algorithm>

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

/// A value of every channel in shared memory: a coefficient, which serves all tokens that a block takes of a sample, or
/// a sum. Threads move packs of `width`; pieces of 16 bytes are permuted so that neither these nor neighbouring pieces
/// meet a bank twice.
template <int width>
class SharedRow {
 public:
  static constexpr int piece = width == 1 ? 1 : 4;
  explicit __device__ SharedRow(float* values) : values_(values) {}
  template <int count>
  __device__ void put(std::int64_t channel, const Pack<float, count>& values) const {
    for (int i = 0; i < count; i += piece) {
      Pack<float, piece> part;
      for (int k = 0; k < piece; ++k) part[k] = values[i + k];
      store_shared(values_ + place(channel + i), part);
    }
  }
  __device__ float value(std::int64_t channel) const { return values_[place(channel)]; }
  __device__ Pack<float, width> at(std::int64_t channel) const {
    Pack<float, width> values;
    for (int i = 0; i < width; i += piece) {
      const auto part = load<piece>(values_ + place(channel + i));
      for (int k = 0; k < piece; ++k) values[i + k] = part[k];
    }
    return values;
  }

 private:
  static __device__ int place(std::int64_t channel) {
    const int at = static_cast<int>(channel);
    return width == 8 ? at ^ (at >> 3 & 4) : at;
  }
  float* values_;
};

/// How the blocks of the forward take rows: runs of neighbours that have the same coefficients, of one sample, or where
/// there is no modulation of any.
struct RunPlan {
  std::int64_t groups, rows_of_group, runs_of_group;
  int rows_of_run, held_channels;
};

/// A team a token. Two passes over values held in registers; what rounding took from the centre is found by the second.
/// The coefficients of the channels that are held lie in shared memory. Both kernels are told how many blocks to keep:
/// left to itself ptxas spills on one card or another.
template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads, team == short_team ? 4 : 3)
    layer_norm_kernel(LayerNormPlan<T> plan, RunPlan runs, T* y, float* mean, float* rstd, double epsilon) {
  extern __shared__ __align__(16) float coefficients[];
  __shared__ float shared[32];
  using Part = RowPart<T, team, width>;
  const SharedRow<width> factors(coefficients), addends(coefficients + runs.held_channels);
  const auto channels = static_cast<double>(plan.channels);
  for (std::int64_t run = blockIdx.x; run < runs.groups * runs.runs_of_group; run += gridDim.x) {
    const std::int64_t n = run / runs.runs_of_group, begin = run % runs.runs_of_group * runs.rows_of_run;
    const std::int64_t first = n * runs.rows_of_group + begin, rest_of_group = runs.rows_of_group - begin;
    const int rows = rest_of_group < runs.rows_of_run ? static_cast<int>(rest_of_group) : runs.rows_of_run;
    constexpr int piece = SharedRow<width>::piece;
    __syncthreads();  // the run before is done
                      // Not unrolled: that would take more registers than rows do.
#pragma unroll 1
    for (int channel = threadIdx.x * piece; channel < runs.held_channels; channel += block_threads * piece) {
      const auto map = affine_at<piece>(plan, n, channel);
      factors.put(channel, map.factor);
      addends.put(channel, map.addend);
    }
    __syncthreads();
    for (int of_run = threadIdx.x / team; of_run < rows; of_run += block_threads / team) {
      const std::int64_t row = first + of_run;
      const Part part({plan.x + row * plan.channels}, plan.channels);
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
      part.for_each_numbered([&](auto k, const auto& packs, std::int64_t channel) {
        Affine<width> map;
        if constexpr (k() < Part::held_packs)
          map = {factors.at(channel), addends.at(channel)};
        else
          map = affine_at<width>(plan, n, channel);
        Pack<float, width> result;
        for (int i = 0; i < width; ++i)
          result[i] = fmaf(fmaf(packs.of[0][i] - centre, factor, residual), map.factor[i], map.addend[i]);
        store_floats(y + row * plan.channels + channel, result);
      });
    }
  }
}

template <class T>
struct BackwardPlan {
  LayerNormPlan<T> forward;
  const float *mean, *rstd;
  const T* grad_y;
  T* grad_x;  // or null
  bool accumulate;
  int tokens_of_run;  // a block takes runs of tokens of one sample
  std::int64_t runs;
  int held_channels;  // whose factors lie in shared memory
};

/// A block walks a run of tokens, a team a token. It writes grad_x and the run's sums over tokens, sums (samples, runs,
/// 2, channels): of grad_y, and of grad_y normalised. Threads keep the sums of their own channels in registers, in the
/// tokens' order; the warps' sums meet in shared memory, warps x 2 x channels, before the factors that lie there.
template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads, 2) layer_norm_backward_kernel(BackwardPlan<T> plan, float* sums) {
  using Part = RowPart<T, team, width, 2>;
  extern __shared__ __align__(16) float warp_sums[];
  __shared__ float shared[32];
  const LayerNormPlan<T>& forward = plan.forward;
  const std::int64_t channels = forward.channels;
  const int warp = static_cast<int>(threadIdx.x) / team;
  constexpr int warps = block_threads / team;
  const SharedRow<width> factors(warp_sums + (team == 32 ? 2 * warps * channels : 0));
  for (std::int64_t run = blockIdx.x; run < forward.samples * plan.runs; run += gridDim.x) {
    const std::int64_t n = run / plan.runs, begin = run % plan.runs * plan.tokens_of_run;
    const std::int64_t first = n * forward.tokens + begin, rest = forward.tokens - begin;
    const int tokens = rest < plan.tokens_of_run ? static_cast<int>(rest) : plan.tokens_of_run;
    float* gradient_sum = sums + 2 * run * channels;
    float* product_sum = gradient_sum + channels;
    constexpr int piece = SharedRow<width>::piece;
    __syncthreads();  // the run before is done
#pragma unroll 1
    for (int channel = threadIdx.x * piece; channel < plan.held_channels; channel += block_threads * piece)
      factors.put(channel, affine_at<piece>(forward, n, channel).factor);
    __syncthreads();
    const auto factor_at = [&](auto k, std::int64_t channel) {
      if constexpr (k() < Part::held_packs)
        return factors.at(channel);
      else
        return affine_at<width>(forward, n, channel).factor;
    };
    Pack<float, width> held_gradient[Part::held_packs] = {}, held_product[Part::held_packs] = {};
    for (int token = warp; token < tokens; token += warps) {
      const std::int64_t row = first + token, at = row * channels;
      const float mean = plan.mean[row], rstd = plan.rstd[row];
      const Part part({forward.x + at, plan.grad_y + at}, channels);
      float gradients = 0.0f, products = 0.0f;
      part.for_each_numbered([&](auto k, const auto& packs, std::int64_t channel) {
        const auto factor = factor_at(k, channel);
        Pack<float, width> gradient = {}, product = {};
        static_assert(k() < Part::held_packs || team == block_threads);
        if constexpr (k() < Part::held_packs) {
          gradient = held_gradient[k()];
          product = held_product[k()];
        } else if (token > 0) {  // rows too long for registers: the team is the block, and memory keeps the sums
          gradient = load_floats<width>(gradient_sum + channel);
          product = load_floats<width>(product_sum + channel);
        }
        for (int j = 0; j < width; ++j) {
          const float g = packs.of[1][j], normalised = (packs.of[0][j] - mean) * rstd;
          gradients = fmaf(g, factor[j], gradients);
          products = fmaf(g * factor[j], normalised, products);
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
      part.for_each_numbered([&](auto k, const auto& packs, std::int64_t channel) {
        const auto factor = factor_at(k, channel);
        T* to = plan.grad_x + at + channel;
        auto result = plan.accumulate ? load_floats<width>(to) : Pack<float, width>{};
        for (int j = 0; j < width; ++j) {
          const float normalised = (packs.of[0][j] - mean) * rstd;
          const float gradient = fmaf(packs.of[1][j], factor[j], -mean_gradient);
          result[j] = fmaf(fmaf(-normalised, mean_product, gradient), rstd, result[j]);
        }
        store_floats(to, result);
      });
    }
    const auto sums_of = [&](int of_warp, int which) {
      return SharedRow<width>(warp_sums + (2 * of_warp + which) * channels);
    };
    Part::for_each_held([&](auto k) {
      const std::int64_t channel = Part::column(k());
      if (channel >= channels) return;
      if constexpr (team == 32) {
        sums_of(warp, 0).put(channel, held_gradient[k()]);
        sums_of(warp, 1).put(channel, held_product[k()]);
      } else {
        store_floats(gradient_sum + channel, held_gradient[k()]);
        store_floats(product_sum + channel, held_product[k()]);
      }
    });
    if constexpr (team == 32) {
      __syncthreads();
#pragma unroll 1  // short rows need few of these
      for (std::int64_t i = threadIdx.x; i < 2 * channels; i += block_threads) {
        const int which = i < channels ? 0 : 1;
        float sum = 0.0f;
        for (int w = 0; w < warps; ++w) sum += sums_of(w, which).value(i - which * channels);
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

/// Short runs where there are few rows, so that all blocks that the device keeps have some; results do not depend on
/// it.
template <class T>
RunPlan plan_runs(Stream& stream, const LayerNormPlan<T>& plan, int row_width) {
  const std::int64_t rows = plan.samples * plan.tokens;
  const std::int64_t at_once = takes_long_team(plan.channels, row_width) ? 1 : block_threads / short_team;
  constexpr std::int64_t most_rows = 64;
  RunPlan runs{.groups = plan.scale != nullptr ? plan.samples : 1,
               .held_channels = static_cast<int>(held_columns(plan.channels, row_width))};
  runs.rows_of_group = rows / runs.groups;
  const std::int64_t blocks = blocks_for_rows(stream, rows, plan.channels, row_width);
  runs.rows_of_run =
      static_cast<int>(std::min(most_rows, ((rows + blocks - 1) / blocks + at_once - 1) / at_once * at_once));
  runs.runs_of_group = (runs.rows_of_group + runs.rows_of_run - 1) / runs.rows_of_run;
  return runs;
}

template <class T>
void forward_as(Stream& stream, const LayerNormForward& arguments) {
  constexpr int width = pack_width<T>;
  const LayerNormPlan<T> plan = plan_of<T>(arguments);
  if (plan.samples * plan.tokens == 0) return;
  T* y = arguments.y.as<T>();
  const int row_width = width_of_rows(plan, y);
  const auto kernel = choose_row_kernel(plan.channels, row_width, &layer_norm_kernel<T, short_team, width>,
                                        &layer_norm_kernel<T, short_team, 1>, &layer_norm_kernel<T, long_team, width>,
                                        &layer_norm_kernel<T, long_team, 1>);
  const RunPlan runs = plan_runs(stream, plan, row_width);
  const std::size_t shared = sizeof(float) * 2 * static_cast<std::size_t>(runs.held_channels);
  launch(stream,
         {"layer_norm_forward", arguments.x.shape, blocks_for(stream, runs.groups * runs.runs_of_group * block_threads),
          block_threads, shared},
         kernel, plan, runs, y, arguments.mean.as<float>(), arguments.rstd.as<float>(), arguments.epsilon);
}

template <class T>
void backward_as(Stream& stream, const LayerNormBackward& arguments) {
  constexpr int width = pack_width<T>;
  constexpr int tokens_of_run = 64;  // its sums are then a few percent of the bytes
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
  plan.held_channels = static_cast<int>(held_columns(forward.channels, row_width));
  const std::int64_t of_warps = takes_long_team(forward.channels, row_width) ? 0 : 2 * 8 * forward.channels;
  const std::size_t shared = sizeof(float) * static_cast<std::size_t>(of_warps + plan.held_channels);
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
