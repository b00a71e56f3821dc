#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/matmul/gemm_plan.cuh"
#include "kernels/matmul/gemm_simt.cuh"

// Attention in tiles of 64 queries and 64 keys (Dao et al. 2022), float32 on CUDA cores. A block of 256 threads keeps
// the scores of one pair of tiles in registers, four rows and four columns a thread; the sixteen threads of a row are
// neighbours in a warp. Channels of outputs are split over blocks where there are more than a block's registers hold.
namespace tweedie {
namespace {

using Tile = gemm::SimtTile<64>;
using Sums = gemm::SimtSums<Tile>;
using Rows = gemm::RowSource<float>;        // (positions, channels), summed over channels
using Columns = gemm::ColumnSource<float>;  // the same, summed over positions
constexpr int tile = Tile::extent, threads = gemm::simt_threads;

struct Heads {
  const float *q, *k, *v, *out, *grad_out;
  float *result, *log_sum_exp, *delta;  // what a kernel writes, (N, heads, T), (N, heads, T)
  float *grad_k, *grad_v;
  int queries, keys, heads, channels;
  int query_tiles, key_tiles, channel_tiles;
  float scale;
  bool vector;

  __device__ std::int64_t place(int positions, int head) const {
    return (static_cast<std::int64_t>(head / heads) * positions * heads + head % heads) * channels;
  }
  __device__ int row() const { return heads * channels; }
  __device__ Rows rows(const float* data, int positions, int head) const {
    return {data + place(positions, head), row(), 0, positions, channels, vector};
  }
  __device__ Columns columns(const float* data, int positions, int head) const {
    return {data + place(positions, head), row(), 0, channels, positions, vector};
  }
};

/// A tile of weights in shared memory as a left operand: (64 of the summed positions, 64 rows), its columns permuted so
/// that neither the stores nor the reads meet a bank twice.
struct SharedWeights {
  alignas(16) float values[tile * tile];
  static __device__ int swizzle(int position) { return position / 4 % 16 * 4; }
  __device__ void store(int m, int n, const Sums& sums) {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      *reinterpret_cast<float4*>(values + (n + j) * tile + (m ^ swizzle(n + j))) =
          make_float4(sums[0][0][0][j], sums[0][0][1][j], sums[0][0][2][j], sums[0][0][3][j]);
  }
};

/// sums[g] += weights * right, over the 64 positions from `first_position`, for 64 channels from first_channel + 64 g.
template <int groups>
__device__ void add_weighted(const SharedWeights& weights, const Columns& right, int first_position, int first_channel,
                             int m, int n, gemm::SimtShared<Tile>& shared, Sums (&sums)[groups]) {
#pragma unroll
  for (int g = 0; g < groups; ++g) {
    gemm::SimtStage<Columns, Tile> stage(right, first_channel + g * tile);
    for (int step = 0; step < tile / Tile::depth; ++step) {
      float* buffer = shared.b[step % 2];
      stage.fetch(first_position + step * Tile::depth);
      stage.store(buffer);
      __syncthreads();  // a buffer is written again two steps later, past the next barrier
      const int first = step * Tile::depth;
      gemm::simt_multiply<Tile>(
          weights.values + first * tile, buffer, m, n, [first](int k) { return SharedWeights::swizzle(first + k); },
          [](int) { return 0; }, sums[g]);
    }
    __syncthreads();
  }
}

/// Sums over the sixteen threads that share rows.
template <class Combine>
__device__ float combine_row(float value, Combine combine) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(all_lanes, value, distance));
  return value;
}

/// Which pair of sample and head, tile of rows and channels a block has.
struct Part {
  int head, first_row, first_channel;
  __device__ Part(const Heads& heads, int row_tiles, int channels_a_block) {
    int block = blockIdx.x;
    first_channel = block % heads.channel_tiles * channels_a_block;
    block /= heads.channel_tiles;
    first_row = block % row_tiles * tile;
    head = block / row_tiles;
  }
};

template <int groups>
__device__ void store_rows(float* to, const Heads& heads, const Part& part, int positions, int m, int n,
                           const Sums (&sums)[groups]) {
  to += heads.place(positions, part.head);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = part.first_row + m + i;
    if (row >= positions) continue;
#pragma unroll
    for (int g = 0; g < groups; ++g) {
      const int channel = part.first_channel + g * tile + n;
      float* at = to + static_cast<std::int64_t>(row) * heads.row() + channel;
      const float(&s)[4] = sums[g][0][0][i];
      if (heads.vector && channel + 4 <= heads.channels) {
        *reinterpret_cast<float4*>(at) = make_float4(s[0], s[1], s[2], s[3]);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (channel + j < heads.channels) at[j] = s[j];
      }
    }
  }
}

template <int groups>
__global__ void __launch_bounds__(threads, groups == 1 ? 2 : 1) attention_forward_kernel(const Heads heads) {
  __shared__ gemm::SimtShared<Tile> shared;
  __shared__ SharedWeights weights;
  const int m = threadIdx.x / 16 * 4, n = threadIdx.x % 16 * 4;
  const Part part(heads, heads.query_tiles, groups * tile);
  const Rows q = heads.rows(heads.q, heads.queries, part.head), k = heads.rows(heads.k, heads.keys, part.head);
  const Columns v = heads.columns(heads.v, heads.keys, part.head);
  Sums out[groups] = {};
  float maximum[4], normaliser[4];
  for (int i = 0; i < 4; ++i) maximum[i] = -INFINITY, normaliser[i] = 0.0f;
  for (int first_key = 0; first_key < heads.keys; first_key += tile) {
    Sums scores = {};
    gemm::simt_accumulate<Tile>(q, part.first_row, k, first_key, 0, heads.channels, m, n, shared, scores);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float(&row)[4] = scores[0][0][i];
      float largest = maximum[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        row[j] = first_key + n + j < heads.keys ? row[j] * heads.scale : -INFINITY;
        largest = fmaxf(largest, row[j]);
      }
      largest = combine_row(largest, [](float a, float b) { return fmaxf(a, b); });
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        row[j] = expf(row[j] - largest);
        sum += row[j];
      }
      const float factor = expf(maximum[i] - largest);
      normaliser[i] = normaliser[i] * factor + combine_row(sum, [](float a, float b) { return a + b; });
      maximum[i] = largest;
#pragma unroll
      for (int g = 0; g < groups; ++g)
#pragma unroll
        for (int j = 0; j < 4; ++j) out[g][0][0][i][j] *= factor;
    }
    weights.store(m, n, scores);
    add_weighted<groups>(weights, v, first_key, part.first_channel, m, n, shared, out);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int g = 0; g < groups; ++g)
#pragma unroll
      for (int j = 0; j < 4; ++j) out[g][0][0][i][j] /= normaliser[i];
    const int row = part.first_row + m + i;
    if (part.first_channel == 0 && n == 0 && row < heads.queries)
      heads.log_sum_exp[static_cast<std::int64_t>(part.head) * heads.queries + row] = maximum[i] + logf(normaliser[i]);
  }
  store_rows<groups>(heads.result, heads, part, heads.queries, m, n, out);
}

/// delta = sum over channels of grad_out out, for each query and head; a warp a row.
__global__ void __launch_bounds__(256) attention_delta_kernel(const Heads heads, std::int64_t rows) {
  const int lane = threadIdx.x % 32;
  for (std::int64_t row = grid_thread() / 32; row < rows; row += grid_threads() / 32) {
    const std::int64_t first = row * heads.channels;  // (N, T, heads) rows
    float sum = 0.0f;
    for (int d = lane; d < heads.channels; d += 32) sum = fmaf(heads.grad_out[first + d], heads.out[first + d], sum);
    sum = warp_sum(sum);
    const std::int64_t head = row % heads.heads, position = row / heads.heads;
    const std::int64_t sample = position / heads.queries, query = position % heads.queries;
    if (lane == 0) heads.delta[(sample * heads.heads + head) * heads.queries + query] = sum;
  }
}

/// From scores and v . grad_out of one query and key: the probability and the gradient of the score.
struct ScoreGradient {
  float probability, gradient;
  __device__ ScoreGradient(const Heads& heads, float product, float grad_product, float log_sum_exp, float delta)
      : probability(expf(product * heads.scale - log_sum_exp)),
        gradient(probability * (grad_product - delta) * heads.scale) {}
};

/// grad_q: a block has a tile of queries and passes over the keys.
template <int groups>
__global__ void __launch_bounds__(threads, groups == 1 ? 2 : 1) attention_grad_q_kernel(const Heads heads) {
  __shared__ gemm::SimtShared<Tile> shared;
  __shared__ SharedWeights weights;
  const int m = threadIdx.x / 16 * 4, n = threadIdx.x % 16 * 4;
  const Part part(heads, heads.query_tiles, groups * tile);
  const Rows q = heads.rows(heads.q, heads.queries, part.head), k = heads.rows(heads.k, heads.keys, part.head);
  const Rows grad_out = heads.rows(heads.grad_out, heads.queries, part.head);
  const Rows v = heads.rows(heads.v, heads.keys, part.head);
  const Columns k_columns = heads.columns(heads.k, heads.keys, part.head);
  float log_sum_exp[4], delta[4];
  for (int i = 0; i < 4; ++i) {
    const int row = min(part.first_row + m + i, heads.queries - 1);
    const std::int64_t at = static_cast<std::int64_t>(part.head) * heads.queries + row;
    log_sum_exp[i] = heads.log_sum_exp[at];
    delta[i] = heads.delta[at];
  }
  Sums grad[groups] = {};
  for (int first_key = 0; first_key < heads.keys; first_key += tile) {
    Sums scores = {}, products = {};
    gemm::simt_accumulate<Tile>(q, part.first_row, k, first_key, 0, heads.channels, m, n, shared, scores);
    gemm::simt_accumulate<Tile>(grad_out, part.first_row, v, first_key, 0, heads.channels, m, n, shared, products);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const ScoreGradient score(heads, scores[0][0][i][j], products[0][0][i][j], log_sum_exp[i], delta[i]);
        scores[0][0][i][j] = first_key + n + j < heads.keys ? score.gradient : 0.0f;
      }
    weights.store(m, n, scores);
    add_weighted<groups>(weights, k_columns, first_key, part.first_channel, m, n, shared, grad);
  }
  store_rows<groups>(heads.result, heads, part, heads.queries, m, n, grad);
}

/// grad_k and grad_v: a block has a tile of keys and passes over the queries.
template <int groups>
__global__ void __launch_bounds__(threads, 1) attention_grad_kv_kernel(const Heads heads) {
  __shared__ gemm::SimtShared<Tile> shared;
  __shared__ SharedWeights weights;
  const int m = threadIdx.x / 16 * 4, n = threadIdx.x % 16 * 4;
  const Part part(heads, heads.key_tiles, groups * tile);
  const Rows q = heads.rows(heads.q, heads.queries, part.head), k = heads.rows(heads.k, heads.keys, part.head);
  const Rows grad_out = heads.rows(heads.grad_out, heads.queries, part.head);
  const Rows v = heads.rows(heads.v, heads.keys, part.head);
  const Columns q_columns = heads.columns(heads.q, heads.queries, part.head);
  const Columns grad_out_columns = heads.columns(heads.grad_out, heads.queries, part.head);
  Sums grad_k[groups] = {}, grad_v[groups] = {};
  for (int first_query = 0; first_query < heads.queries; first_query += tile) {
    Sums scores = {}, products = {};
    gemm::simt_accumulate<Tile>(k, part.first_row, q, first_query, 0, heads.channels, m, n, shared, scores);
    gemm::simt_accumulate<Tile>(v, part.first_row, grad_out, first_query, 0, heads.channels, m, n, shared, products);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int query = first_query + n + j;
      const std::int64_t at = static_cast<std::int64_t>(part.head) * heads.queries + min(query, heads.queries - 1);
      const float log_sum_exp = heads.log_sum_exp[at], delta = heads.delta[at];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const ScoreGradient score(heads, scores[0][0][i][j], products[0][0][i][j], log_sum_exp, delta);
        scores[0][0][i][j] = query < heads.queries ? score.probability : 0.0f;
        products[0][0][i][j] = query < heads.queries ? score.gradient : 0.0f;
      }
    }
    weights.store(m, n, scores);
    add_weighted<groups>(weights, grad_out_columns, first_query, part.first_channel, m, n, shared, grad_v);
    weights.store(m, n, products);
    add_weighted<groups>(weights, q_columns, first_query, part.first_channel, m, n, shared, grad_k);
  }
  store_rows<groups>(heads.grad_k, heads, part, heads.keys, m, n, grad_k);
  store_rows<groups>(heads.grad_v, heads, part, heads.keys, m, n, grad_v);
}

template <class Arguments>
Heads heads_of(std::string_view name, const Arguments& arguments) {
  const auto& [n, queries, heads, channels] =
      std::array{arguments.q.shape[0], arguments.q.shape[1], arguments.q.shape[2], arguments.q.shape[3]};
  Heads out{};
  out.q = arguments.q.template as<float>();
  out.k = arguments.k.template as<float>();
  out.v = arguments.v.template as<float>();
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
  out.vector = channels % 4 == 0 && aligned_16(out.q, out.k, out.v);
  return out;
}

/// Launches `one` where 64 channels a block are enough, else `many` with `groups` times as many.
void launch_tiles(Stream& stream, std::string_view name, const Array& q, Heads heads, int row_tiles, void (*one)(Heads),
                  void (*many)(Heads), int groups) {
  const bool few = heads.channels <= tile;
  const int channels = few ? tile : groups * tile;
  heads.channel_tiles = (heads.channels + channels - 1) / channels;
  const std::int64_t blocks = q.shape[0] * heads.heads * row_tiles * heads.channel_tiles;
  require(blocks <= 0x7fffffff, "{}: {} needs {} blocks, more than one launch holds", name, q.shape, blocks);
  launch(stream, {name, q.shape, static_cast<unsigned>(blocks), threads}, few ? one : many, heads);
}

void forward_cuda(Stream& stream, const AttentionForward& arguments) {
  if (arguments.out.count() == 0) return;
  Heads heads = heads_of("attention_forward", arguments);
  heads.result = arguments.out.as<float>();
  heads.vector = heads.vector && aligned_16(heads.result);
  launch_tiles(stream, "attention_forward", arguments.q, heads, heads.query_tiles, &attention_forward_kernel<1>,
               &attention_forward_kernel<4>, 4);
}

void backward_cuda(Stream& stream, const AttentionBackward& arguments) {
  constexpr std::string_view name = "attention_backward";
  if (arguments.grad_k.count() == 0) return;
  if (arguments.q.count() == 0) {
    stream.zero(arguments.grad_k.data, static_cast<std::size_t>(arguments.grad_k.bytes()));
    stream.zero(arguments.grad_v.data, static_cast<std::size_t>(arguments.grad_v.bytes()));
    return;
  }
  Heads heads = heads_of(name, arguments);
  heads.out = arguments.out.as<float>();
  heads.grad_out = arguments.grad_out.as<float>();
  heads.result = arguments.grad_q.as<float>();
  heads.grad_k = arguments.grad_k.as<float>();
  heads.grad_v = arguments.grad_v.as<float>();
  heads.vector = heads.vector && aligned_16(heads.grad_out, heads.result, heads.grad_k, heads.grad_v);
  const std::int64_t rows = arguments.log_sum_exp.count();
  const Scratch delta(stream, static_cast<std::size_t>(rows) * sizeof(float));
  heads.delta = delta.as<float>();
  launch(stream, {name, arguments.q.shape, blocks_for(stream, rows * 32), 256}, &attention_delta_kernel, heads, rows);
  launch_tiles(stream, name, arguments.q, heads, heads.query_tiles, &attention_grad_q_kernel<1>,
               &attention_grad_q_kernel<4>, 4);
  launch_tiles(stream, name, arguments.q, heads, heads.key_tiles, &attention_grad_kv_kernel<1>,
               &attention_grad_kv_kernel<2>, 2);
}

const bool registered = attention_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        attention_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie
