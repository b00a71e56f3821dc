#include "kernels/activation/activation.cuh"
#include "kernels/group_norm/group_norm.h"
#include "kernels/group_norm/group_norm_plan.cuh"
#include "kernels/group_norm/norm_gradients.cuh"

// x is read once and y written once where a block's groups fit shared memory, else x is read twice.

namespace tweedie {
namespace {

/// Mean and sum of squared deviations of `count` values.
struct Moments {
  float count = 0.0f, square = 0.0f;
  double mean = 0.0;
};
/// A float32 sum that keeps what each addition rounds away (Knuth's two-sum).
struct CompensatedSum {
  float high = 0.0f, low = 0.0f;
  __device__ void add(float value) {
    const float sum = high + value, taken = sum - high;
    low += (high - (sum - taken)) + (value - taken);
    high = sum;
  }
  __device__ double value() const { return static_cast<double>(high) + low; }
};

/// Those of two sets together (Chan, Golub and LeVeque 1983).
__device__ Moments together(const Moments& a, const Moments& b) {
  if (b.count == 0.0f) return a;
  if (a.count == 0.0f) return b;
  const float count = a.count + b.count, part = b.count / count;
  const double difference = b.mean - a.mean;
  const auto distance = static_cast<float>(difference);
  return {count, fmaf(distance * distance, a.count * part, a.square + b.square), fma(difference, part, a.mean)};
}

/// A block's moments, a thread each. Apart, so that neighbouring threads use neighbouring banks.
struct BlockMoments {
  float count[block_threads], square[block_threads];
  double mean[block_threads];
  __device__ void set(int thread, const Moments& of) {
    count[thread] = of.count;
    square[thread] = of.square;
    mean[thread] = of.mean;
  }
  __device__ Moments get(int thread) const { return {count[thread], square[thread], mean[thread]}; }
};

template <class T>
struct ForwardPlan {
  GroupNormPlan cut;
  GroupNormOperands operands;
  const T* x;
  T* y;
  float *mean, *rstd;
  double epsilon;
  bool silu;
};

template <class T, int width>
__global__ void __launch_bounds__(block_threads) group_norm_kernel(const __grid_constant__ ForwardPlan<T> plan) {
  extern __shared__ __align__(16) float staged[];  // (positions, channels of the block)
  __shared__ BlockMoments moments;
  __shared__ float centre[most_groups], slope[most_groups], residual[most_groups];
  const GroupNormPlan& cut = plan.cut;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cut.lanes;
  const int first_row = thread / cut.lanes, rows = block_threads / cut.lanes;
  for (std::int64_t job = blockIdx.x; job < cut.samples * cut.blocks_of_sample; job += gridDim.x) {
    const GroupNormBlock block(cut, job);
    const int packs = block.channels / width;
    const std::int64_t at_sample = block.sample * cut.channels;
    const std::int64_t plane = at_sample * cut.positions + block.first_channel;
    const auto group_of = [&](int pack) { return pack * width / cut.channels_of_group; };

    // Deviations are taken from the thread's first value: an offset that all values share costs no digits.
    CompensatedSum sum;
    float pivot = 0.0f, square = 0.0f;
    int count = 0;
    for (int pack = lane; pack < packs; pack += cut.lanes) {
      const GroupNormMap<width> map(plan.operands, at_sample, block.first_channel + pack * width);
      for (std::int64_t row = first_row; row < cut.positions; row += rows) {
        auto u = load_floats<width>(plan.x + plane + row * cut.channels + pack * width);
        for (int k = 0; k < width; ++k) u[k] += map.added[k];
        if (cut.staged) store_shared(staged + row * block.channels + pack * width, u);
        if (count == 0) pivot = u[0];
        for (int k = 0; k < width; ++k) {
          const float deviation = u[k] - pivot;
          sum.add(u[k]);
          square = fmaf(deviation, deviation, square);
        }
        count += width;
      }
    }
    Moments own;
    if (count > 0) {
      const double mean = sum.value() / count;
      const auto distance = static_cast<float>(mean - pivot), n = static_cast<float>(count);
      own = {n, fmaxf(0.0f, fmaf(-n * distance, distance, square)), mean};
    }
    moments.set(thread, own);
    __syncthreads();

    // A warp a group gathers the threads that stood on it.
    for (int g = thread / 32; g < block.groups; g += block_threads / 32) {
      Moments all;
      for (int t = thread % 32; t < block_threads; t += 32)
        if (t % cut.lanes < packs && group_of(t % cut.lanes) == g) all = together(all, moments.get(t));
      for (int distance = 16; distance > 0; distance /= 2)
        all = together(all, {.count = __shfl_down_sync(all_lanes, all.count, distance),
                             .square = __shfl_down_sync(all_lanes, all.square, distance),
                             .mean = __shfl_down_sync(all_lanes, all.mean, distance)});
      if (thread % 32 != 0) continue;
      const double rstd = 1.0 / sqrt(static_cast<double>(all.square) / all.count + plan.epsilon);
      const std::int64_t at = block.sample * cut.groups + block.first_group + g;
      plan.mean[at] = static_cast<float>(all.mean);
      plan.rstd[at] = static_cast<float>(rstd);
      slope[g] = static_cast<float>(rstd);
      centre[g] = static_cast<float>(all.mean);
      // u - centre is exact near the mean; what rounding took from the centre returns here.
      residual[g] = static_cast<float>((static_cast<double>(centre[g]) - all.mean) * rstd);
    }
    __syncthreads();

    for (int pack = lane; pack < packs; pack += cut.lanes) {
      const GroupNormMap<width> map(plan.operands, at_sample, block.first_channel + pack * width);
      const int g = group_of(pack);
      for (std::int64_t row = first_row; row < cut.positions; row += rows) {
        const std::int64_t at = plane + row * cut.channels + pack * width;
        auto u =
            cut.staged ? load<width>(staged + row * block.channels + pack * width) : load_floats<width>(plan.x + at);
        for (int k = 0; k < width; ++k) {
          if (!cut.staged) u[k] += map.added[k];
          const float m = fmaf(fmaf(u[k] - centre[g], slope[g], residual[g]), map.factor[k], map.addend[k]);
          u[k] = plan.silu ? silu(m) : m;
        }
        store_floats(plan.y + at, u);
      }
    }
    __syncthreads();
  }
}

template <class T>
struct BackwardPlan {
  GroupNormPlan cut;
  GroupNormOperands operands;
  const T *x, *grad_y;
  const float *mean, *rstd;
  T* grad_x;
  float* grad_input_shift;  // or null
  float* sums;              // (samples, 2, channels), or null
  bool silu, accumulate;
};

/// The gradient behind the silu, and the normalised value.
template <int width>
struct Behind {
  Pack<float, width> gradient, normalised;
};

template <int width, class T>
__device__ Behind<width> behind_silu(const BackwardPlan<T>& plan, const GroupNormMap<width>& map, std::int64_t at,
                                     float mean, float rstd) {
  Behind<width> values{load_floats<width>(plan.grad_y + at), load_floats<width>(plan.x + at)};
  for (int k = 0; k < width; ++k) {
    values.normalised[k] = (values.normalised[k] + map.added[k] - mean) * rstd;
    if (plan.silu) values.gradient[k] *= silu_derivative(fmaf(values.normalised[k], map.factor[k], map.addend[k]));
  }
  return values;
}

template <class T, int width>
__global__ void __launch_bounds__(block_threads)
    group_norm_backward_kernel(const __grid_constant__ BackwardPlan<T> plan) {
  // (3, channels) sums of each channel, then the values of `Behind`, each (positions, channels of the block)
  extern __shared__ __align__(16) float memory[];
  constexpr int kinds = 3;  // sums of the gradient, of gradient times normalised, of normalised
  __shared__ float partial[kinds][width][block_threads];
  __shared__ float mean_gradient[most_groups], mean_product[most_groups];
  const GroupNormPlan& cut = plan.cut;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cut.lanes;
  const int first_row = thread / cut.lanes, rows = block_threads / cut.lanes;
  for (std::int64_t job = blockIdx.x; job < cut.samples * cut.blocks_of_sample; job += gridDim.x) {
    const GroupNormBlock block(cut, job);
    const int packs = block.channels / width;
    const std::int64_t at_sample = block.sample * cut.channels;
    const std::int64_t plane = at_sample * cut.positions + block.first_channel;
    const std::int64_t at_group = block.sample * cut.groups + block.first_group;
    float* gradient_sum = memory;
    float* product_sum = memory + block.channels;
    float* normalised_sum = memory + 2 * block.channels;
    const int whole = (kinds * cut.groups_of_block * cut.channels_of_group + 3) / 4 * 4;  // keeps the planes aligned
    float* staged_gradient = memory + whole;
    float* staged_normalised = staged_gradient + cut.positions * block.channels;

    for (int tile = 0; tile < packs; tile += cut.lanes) {
      const int pack = tile + lane;
      Pack<float, width> gradient = {}, product = {}, normalised = {};
      if (pack < packs) {
        const GroupNormMap<width> map(plan.operands, at_sample, block.first_channel + pack * width);
        const std::int64_t group = at_group + pack * width / cut.channels_of_group;
        const float mean = plan.mean[group], rstd = plan.rstd[group];
        for (std::int64_t row = first_row; row < cut.positions; row += rows) {
          const auto values = behind_silu(plan, map, plane + row * cut.channels + pack * width, mean, rstd);
          if (cut.staged) {
            store_shared(staged_gradient + row * block.channels + pack * width, values.gradient);
            store_shared(staged_normalised + row * block.channels + pack * width, values.normalised);
          }
          for (int k = 0; k < width; ++k) {
            gradient[k] += values.gradient[k];
            product[k] = fmaf(values.gradient[k], values.normalised[k], product[k]);
            normalised[k] += values.normalised[k];
          }
        }
      }
      for (int k = 0; k < width; ++k) {
        partial[0][k][thread] = gradient[k];
        partial[1][k][thread] = product[k];
        partial[2][k][thread] = normalised[k];
      }
      for (int half = rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half * cut.lanes)
          for (int kind = 0; kind < kinds; ++kind)
            for (int k = 0; k < width; ++k) partial[kind][k][thread] += partial[kind][k][thread + half * cut.lanes];
      }
      if (thread < cut.lanes && pack < packs)
        for (int kind = 0; kind < kinds; ++kind) {
          Pack<float, width> total;
          for (int k = 0; k < width; ++k) total[k] = partial[kind][k][thread];
          store_shared(memory + kind * block.channels + pack * width, total);
        }
      __syncthreads();
    }

    // A warp a group.
    const float count = static_cast<float>(cut.positions) * static_cast<float>(cut.channels_of_group);
    for (int g = thread / 32; g < block.groups; g += block_threads / 32) {
      float gradient = 0.0f, product = 0.0f;
      for (int i = thread % 32; i < cut.channels_of_group; i += 32) {
        const int channel = g * cut.channels_of_group + i;
        const GroupNormMap<1> map(plan.operands, at_sample, block.first_channel + channel);
        gradient = fmaf(map.factor[0], gradient_sum[channel], gradient);
        product = fmaf(map.factor[0], product_sum[channel], product);
      }
      gradient = warp_sum(gradient);
      product = warp_sum(product);
      if (thread % 32 == 0) {
        mean_gradient[g] = gradient / count;
        mean_product[g] = product / count;
      }
    }
    __syncthreads();

    for (int channel = thread; channel < block.channels; channel += block_threads) {
      const int g = channel / cut.channels_of_group;
      const std::int64_t at = block.first_channel + channel;
      if (plan.sums != nullptr) {
        plan.sums[2 * at_sample + at] = gradient_sum[channel];
        plan.sums[2 * at_sample + cut.channels + at] = product_sum[channel];
      }
      if (plan.grad_input_shift == nullptr) continue;
      const GroupNormMap<1> map(plan.operands, at_sample, at);
      const float rest =
          fmaf(static_cast<float>(cut.positions), mean_gradient[g], mean_product[g] * normalised_sum[channel]);
      plan.grad_input_shift[at_sample + at] =
          plan.rstd[at_group + g] * fmaf(map.factor[0], gradient_sum[channel], -rest);
    }
    for (int pack = lane; pack < packs; pack += cut.lanes) {
      const GroupNormMap<width> map(plan.operands, at_sample, block.first_channel + pack * width);
      const int g = pack * width / cut.channels_of_group;
      const float mean = plan.mean[at_group + g], rstd = plan.rstd[at_group + g];
      for (std::int64_t row = first_row; row < cut.positions; row += rows) {
        const std::int64_t at = plane + row * cut.channels + pack * width;
        const std::int64_t kept = row * block.channels + pack * width;
        const Behind<width> values =
            cut.staged ? Behind<width>{load<width>(staged_gradient + kept), load<width>(staged_normalised + kept)}
                       : behind_silu(plan, map, at, mean, rstd);
        auto result = plan.accumulate ? load_floats<width>(plan.grad_x + at) : Pack<float, width>{};
        for (int k = 0; k < width; ++k) {
          const float gradient = fmaf(values.gradient[k], map.factor[k], -mean_gradient[g]);
          result[k] = fmaf(fmaf(-values.normalised[k], mean_product[g], gradient), rstd, result[k]);
        }
        store_floats(plan.grad_x + at, result);
      }
    }
    __syncthreads();
  }
}

template <class Arguments>
GroupNormOperands operands_of(const Arguments& arguments) {
  return {.input_shift = optional_values<float>(arguments.input_shift),
          .gamma = arguments.gamma.template as<float>(),
          .beta = arguments.beta.template as<float>(),
          .scale = optional_values<float>(arguments.scale),
          .shift = optional_values<float>(arguments.shift)};
}
/// Whether four channels may be moved at once: they lie in one group, and every row starts aligned. Of bfloat16 it is
/// four too, so that groups of four channels are enough and the sums of a thread stay in registers.
bool packable(const GroupNormOperands& of, const Shape& x, std::int64_t groups) {
  return x[2] / groups % 4 == 0 && aligned_16(of.input_shift, of.gamma, of.beta, of.scale, of.shift);
}

template <class T>
void forward_as(Stream& stream, const GroupNormForward& arguments) {
  const Shape& shape = arguments.x.shape;
  ForwardPlan<T> plan{.operands = operands_of(arguments),
                      .x = arguments.x.as<T>(),
                      .y = arguments.y.as<T>(),
                      .mean = arguments.mean.as<float>(),
                      .rstd = arguments.rstd.as<float>(),
                      .epsilon = arguments.epsilon,
                      .silu = arguments.silu};
  const bool packed = packable(plan.operands, shape, arguments.groups) && aligned_16(plan.x, plan.y);
  std::size_t shared = 0;
  plan.cut = plan_group_norm(stream, shape, arguments.groups, packed ? 4 : 1, sizeof(T), 1, 0, shared);
  const std::int64_t blocks = shape[0] * plan.cut.blocks_of_sample;
  launch(stream, {"group_norm_forward", shape, blocks_for(stream, blocks * block_threads), block_threads, shared},
         packed ? &group_norm_kernel<T, 4> : &group_norm_kernel<T, 1>, plan);
}

template <class T>
void backward_as(Stream& stream, const GroupNormBackward& arguments) {
  const Shape& shape = arguments.x.shape;
  const bool needs_sums = arguments.grad_gamma || arguments.grad_scale || arguments.grad_shift;
  const Scratch sums(stream, needs_sums ? sizeof(float) * 2 * static_cast<std::size_t>(shape[0] * shape[2]) : 0);
  BackwardPlan<T> plan{.operands = operands_of(arguments),
                       .x = arguments.x.as<T>(),
                       .grad_y = arguments.grad_y.as<T>(),
                       .mean = arguments.mean.as<float>(),
                       .rstd = arguments.rstd.as<float>(),
                       .grad_x = arguments.grad_x.as<T>(),
                       .grad_input_shift = optional_values<float>(arguments.grad_input_shift),
                       .sums = needs_sums ? sums.as<float>() : nullptr,
                       .silu = arguments.silu,
                       .accumulate = arguments.write == Write::accumulate};
  const bool packed = packable(plan.operands, shape, arguments.groups) && aligned_16(plan.x, plan.grad_y, plan.grad_x);
  std::size_t shared = 0;
  plan.cut = plan_group_norm(stream, shape, arguments.groups, packed ? 4 : 1, sizeof(T), 2, 3, shared);
  const std::int64_t blocks = shape[0] * plan.cut.blocks_of_sample;
  launch(stream, {"group_norm_backward", shape, blocks_for(stream, blocks * block_threads), block_threads, shared + 16},
         packed ? &group_norm_backward_kernel<T, 4> : &group_norm_backward_kernel<T, 1>, plan);
  if (needs_sums)
    finish_norm_gradients(stream,
                          {.operation = "group_norm_backward",
                           .samples = shape[0],
                           .runs = 1,
                           .channels = shape[2],
                           .sums = plan.sums,
                           .gamma = plan.operands.gamma,
                           .beta = plan.operands.beta,
                           .scale = plan.operands.scale},
                          arguments);
}

void forward_cuda(Stream& stream, const GroupNormForward& arguments) {
  if (arguments.x.shape[0] == 0) return;
  with_value_type(arguments.x, [&]<class T>(T) { forward_as<T>(stream, arguments); });
}
void backward_cuda(Stream& stream, const GroupNormBackward& arguments) {
  if (arguments.x.shape[0] == 0) return;
  with_value_type(arguments.x, [&]<class T>(T) { backward_as<T>(stream, arguments); });
}

const bool registered = group_norm_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        group_norm_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie
