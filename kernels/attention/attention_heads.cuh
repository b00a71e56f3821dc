#pragma once

#include <array>

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

/// delta = sum over channels of grad_out out, for each query and head; a warp a row.
template <class T>
__global__ void __launch_bounds__(256) delta_kernel(const Heads<T> heads, std::int64_t rows) {
  const int lane = threadIdx.x % 32;
  for (std::int64_t row = grid_thread() / 32; row < rows; row += grid_threads() / 32) {
    const std::int64_t first = row * heads.channels;  // (N, T, heads) rows
    float sum = 0.0f;
    for (int d = lane; d < heads.channels; d += 32)
      sum = fmaf(static_cast<float>(heads.grad_out[first + d]), static_cast<float>(heads.out[first + d]), sum);
    sum = warp_sum(sum);
    const std::int64_t head = row % heads.heads, position = row / heads.heads;
    const std::int64_t sample = position / heads.queries, query = position % heads.queries;
    if (lane == 0) heads.delta[(sample * heads.heads + head) * heads.queries + query] = sum;
  }
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
  const std::int64_t rows = arguments.log_sum_exp.count();
  const Scratch delta(stream, static_cast<std::size_t>(rows) * sizeof(float));
  heads.delta = delta.as<float>();
  launch(stream, {name, arguments.q.shape, blocks_for(stream, rows * 32), 256}, &delta_kernel<T>, heads, rows);
  launch_tiles<T>(stream, name, arguments.q, heads, heads.query_tiles, kernels.threads, kernels.grad_q[0],
                  kernels.grad_q[1], kernels.grad_q_groups);
  launch_tiles<T>(stream, name, arguments.q, heads, heads.key_tiles, kernels.threads, kernels.grad_kv[0],
                  kernels.grad_kv[1], kernels.grad_kv_groups);
}

/// Those of bfloat16 operands, validated and not empty.
void forward_bfloat16(Stream& stream, const AttentionForward& arguments);
void backward_bfloat16(Stream& stream, const AttentionBackward& arguments);

}  // namespace tweedie::attention_cuda
