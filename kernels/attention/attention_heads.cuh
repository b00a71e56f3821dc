#pragma once

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/attention/attention.h"
#include "kernels/matmul/gemm_plan.cuh"
#include "kernels/runtime/values.cuh"

// What the attention kernels of float32 (attention_cuda.cu) and of bfloat16 (attention_bfloat16_cuda.cu) share:
// operands of type T, the parts of blocks, and the sums that the backward starts from.
namespace tweedie::attention_cuda {

inline constexpr int tile = 64;  // queries, keys and channels

template <class T>
struct Heads {
  const T *q, *k, *v, *out, *grad_out;
  T *result, *grad_k, *grad_v;  // result: out or grad_q
  float *log_sum_exp, *delta;   // (N, heads, T)
  int queries, keys, heads, channels;
  int query_tiles, key_tiles, channel_tiles;
  float scale;
  bool vector;  // packs of 16 bytes along the channels are aligned

  __device__ std::int64_t place(int positions, int head) const {
    return (static_cast<std::int64_t>(head / heads) * positions * heads + head % heads) * channels;
  }
  __device__ int row() const { return heads * channels; }
  /// What log_sum_exp or delta holds for one pair of sample and head.
  __device__ float* statistics(float* of_all, int head) const {
    return of_all + static_cast<std::int64_t>(head) * queries;
  }
};

/// Which pair of sample and head, tile of rows and channels a block has.
struct Part {
  int head, first_row, first_channel;
  template <class T>
  __device__ Part(const Heads<T>& heads, int row_tiles, int channels_a_block) {
    int block = blockIdx.x;
    first_channel = block % heads.channel_tiles * channels_a_block;
    block /= heads.channel_tiles;
    first_row = block % row_tiles * tile;
    head = block / row_tiles;
  }
};

/// `count` neighbours of a head's statistics (one a query) from `query` on, moved at once where they may be. Past the
/// last query stands the last again.
template <int count>
__device__ Pack<float, count> load_statistics(const float* of_head, int query, int queries) {
  const float* from = of_head + query;
  if (query + count <= queries && reinterpret_cast<std::uintptr_t>(from) % sizeof(Pack<float, count>) == 0)
    return load<count>(from);
  Pack<float, count> values;
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = of_head[min(query + i, queries - 1)];
  return values;
}
template <int count>
__device__ void store_statistics(float* of_head, int query, int queries, const Pack<float, count>& values) {
  float* to = of_head + query;
  if (query + count <= queries && reinterpret_cast<std::uintptr_t>(to) % sizeof(Pack<float, count>) == 0) {
    store_global(to, values);
    return;
  }
#pragma unroll
  for (int i = 0; i < count; ++i)
    if (query + i < queries) to[i] = values[i];
}

/// What a block of the next kernel takes of a sample.
inline constexpr int delta_threads = 256, delta_queries = 32, delta_heads = delta_threads / delta_queries;

/// delta = sum over channels of grad_out out, for each query and head. Teams of `team` threads, a power of two, read
/// rows in the order of memory, heads before queries; their sums change places in shared memory, so that neighbouring
/// queries are stored together.
template <class T, int width>
__global__ void __launch_bounds__(delta_threads) delta_kernel(const Heads<T> heads, int samples, int team) {
  __shared__ float sums[delta_heads][delta_queries + 4];
  const int query_tiles = (heads.queries + delta_queries - 1) / delta_queries;
  const int head_tiles = (heads.heads + delta_heads - 1) / delta_heads;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % team;
  for (std::int64_t job = blockIdx.x; job < std::int64_t{samples} * query_tiles * head_tiles; job += gridDim.x) {
    const int first_head = static_cast<int>(job % head_tiles) * delta_heads;
    const int first_query = static_cast<int>(job / head_tiles % query_tiles) * delta_queries;
    const std::int64_t sample = job / head_tiles / query_tiles;
    const int of_tile = min(delta_heads, heads.heads - first_head);
    for (int first = 0; first < delta_queries * of_tile; first += delta_threads / team) {
      const int row = first + thread / team, head = row % of_tile, query = row / of_tile;
      const bool inside = query < delta_queries && first_query + query < heads.queries;
      float sum = 0.0f;
      if (inside) {
        const std::int64_t at =
            ((sample * heads.queries + first_query + query) * heads.heads + first_head + head) * heads.channels;
        for (int channel = lane * width; channel < heads.channels; channel += team * width) {
          const auto gradient = load_floats<width>(heads.grad_out + at + channel);
          const auto value = load_floats<width>(heads.out + at + channel);
#pragma unroll
          for (int k = 0; k < width; ++k) sum = fmaf(gradient[k], value[k], sum);
        }
      }
      for (int distance = team / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(all_lanes, sum, distance);
      if (inside && lane == 0) sums[head][query] = sum;
    }
    __syncthreads();
    const int head = thread / delta_queries, query = thread % delta_queries;
    if (head < of_tile && first_query + query < heads.queries)
      heads.delta[(sample * heads.heads + first_head + head) * heads.queries + first_query + query] = sums[head][query];
    __syncthreads();
  }
}

template <class T>
void sum_delta(Stream& stream, std::string_view name, const Array& q, const Heads<T>& heads) {
  constexpr int width = pack_width<T>;
  const bool packed = heads.channels % width == 0 && aligned_16(heads.out, heads.grad_out);
  const auto packs = static_cast<unsigned>(packed ? heads.channels / width : heads.channels);
  const int team = static_cast<int>(std::min(32u, std::bit_ceil(packs)));
  const std::int64_t jobs = q.shape[0] * ((heads.queries + delta_queries - 1) / delta_queries) *
                            ((heads.heads + delta_heads - 1) / delta_heads);
  launch(stream, {name, q.shape, blocks_for(stream, jobs * delta_threads), delta_threads},
         packed ? &delta_kernel<T, width> : &delta_kernel<T, 1>, heads, static_cast<int>(q.shape[0]), team);
}

/// From scores and v . grad_out of one query and key: the probability and the gradient of the score.
struct ScoreGradient {
  float probability, gradient;
  __device__ ScoreGradient(float scale, float product, float grad_product, float log_sum_exp, float delta)
      : probability(expf(product * scale - log_sum_exp)), gradient(probability * (grad_product - delta) * scale) {}
};

template <class T, class Arguments>
Heads<T> heads_of(std::string_view name, const Arguments& arguments) {
  const auto& [n, queries, heads, channels] =
      std::array{arguments.q.shape[0], arguments.q.shape[1], arguments.q.shape[2], arguments.q.shape[3]};
  Heads<T> out{};
  out.q = arguments.q.template as<T>();
  out.k = arguments.k.template as<T>();
  out.v = arguments.v.template as<T>();
  out.log_sum_exp = arguments.log_sum_exp.template as<float>();
  out.queries = gemm::extent_of(name, queries);
  out.keys = gemm::extent_of(name, arguments.k.shape[1]);
  out.heads = gemm::extent_of(name, heads);
  out.channels = gemm::extent_of(name, channels);
  gemm::extent_of(name, n * heads);
  gemm::extent_of(name, heads * channels);
  out.query_tiles = (out.queries + tile - 1) / tile;
  out.key_tiles = (out.keys + tile - 1) / tile;
  out.scale = static_cast<float>(arguments.scale);
  out.vector = channels % pack_width<T> == 0 && aligned_16(out.q, out.k, out.v);
  return out;
}

/// Launches `one` where 64 channels a block are enough, else `many` with `groups` times as many.
template <class T>
void launch_tiles(Stream& stream, std::string_view name, const Array& q, Heads<T> heads, int row_tiles, int threads,
                  void (*one)(Heads<T>), void (*many)(Heads<T>), int groups) {
  const bool few = heads.channels <= tile;
  const int channels = few ? tile : groups * tile;
  heads.channel_tiles = (heads.channels + channels - 1) / channels;
  const std::int64_t blocks = q.shape[0] * heads.heads * row_tiles * heads.channel_tiles;
  require(blocks <= 0x7fffffff, "{}: {} needs {} blocks, more than one launch holds", name, q.shape, blocks);
  launch(stream, {name, q.shape, static_cast<unsigned>(blocks), static_cast<unsigned>(threads)}, few ? one : many,
         heads);
}

/// How the kernels of a type are launched. `groups`: of 64 channels, that the second of each pair takes.
template <class T>
struct Kernels {
  using Kernel = void (*)(Heads<T>);
  int threads;
  Kernel forward[2], grad_q[2], grad_kv[2];
  int forward_groups, grad_q_groups, grad_kv_groups;
};

template <class T>
void run_forward(Stream& stream, const AttentionForward& arguments, const Kernels<T>& kernels) {
  Heads<T> heads = heads_of<T>("attention_forward", arguments);
  heads.result = arguments.out.as<T>();
  heads.vector = heads.vector && aligned_16(heads.result);
  launch_tiles<T>(stream, "attention_forward", arguments.q, heads, heads.query_tiles, kernels.threads,
                  kernels.forward[0], kernels.forward[1], kernels.forward_groups);
}

template <class T>
void run_backward(Stream& stream, const AttentionBackward& arguments, const Kernels<T>& kernels) {
  constexpr std::string_view name = "attention_backward";
  Heads<T> heads = heads_of<T>(name, arguments);
  heads.out = arguments.out.as<T>();
  heads.grad_out = arguments.grad_out.as<T>();
  heads.result = arguments.grad_q.as<T>();
  heads.grad_k = arguments.grad_k.as<T>();
  heads.grad_v = arguments.grad_v.as<T>();
  heads.vector = heads.vector && aligned_16(heads.grad_out, heads.result, heads.grad_k, heads.grad_v);
  const Scratch delta(stream, static_cast<std::size_t>(arguments.log_sum_exp.bytes()));
  heads.delta = delta.as<float>();
  sum_delta(stream, name, arguments.q, heads);
  launch_tiles<T>(stream, name, arguments.q, heads, heads.query_tiles, kernels.threads, kernels.grad_q[0],
                  kernels.grad_q[1], kernels.grad_q_groups);
  launch_tiles<T>(stream, name, arguments.q, heads, heads.key_tiles, kernels.threads, kernels.grad_kv[0],
                  kernels.grad_kv[1], kernels.grad_kv_groups);
}

/// Those of bfloat16 operands, validated and not empty.
void forward_bfloat16(Stream& stream, const AttentionForward& arguments);
void backward_bfloat16(Stream& stream, const AttentionBackward& arguments);

}  // namespace tweedie::attention_cuda
