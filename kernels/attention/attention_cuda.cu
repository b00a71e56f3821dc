#include <cmath>

#include "kernels/attention/attention_heads.cuh"
#include "kernels/matmul/gemm_simt.cuh"

// Attention in tiles of 64 queries and 64 keys (Dao et al. 2022), float32 on CUDA cores. A block of 256 threads keeps
// the scores of one pair of tiles in registers, four rows and four columns a thread; the sixteen threads of a row are
// neighbours in a warp. Channels of outputs are split over blocks where there are more than a block's registers hold.
namespace tweedie::attention_cuda {
namespace {

using Tile = gemm::SimtTile<tile>;
using Sums = gemm::SimtSums<Tile>;
using Rows = gemm::RowSource<float>;        // (positions, channels), summed over channels
using Columns = gemm::ColumnSource<float>;  // the same, summed over positions
constexpr int threads = gemm::simt_threads;

struct FloatHeads : Heads<float> {
  __device__ explicit FloatHeads(const Heads<float>& heads) : Heads<float>(heads) {}
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

template <int groups>
__device__ void store_rows(float* to, const FloatHeads& heads, const Part& part, int positions, int m, int n,
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
__global__ void __launch_bounds__(threads, groups == 1 ? 2 : 1) attention_forward_kernel(const Heads<float> given) {
  const FloatHeads heads(given);
  __shared__ gemm::SimtShared<Tile> shared;
  __shared__ SharedWeights weights;
  const int m = threadIdx.x / 16 * 4, n = threadIdx.x % 16 * 4;
  const Part part(heads, heads.query_tiles, groups * tile);
  const Rows q = heads.rows(heads.q, heads.queries, part.head), k = heads.rows(heads.k, heads.keys, part.head);
  const Columns v = heads.columns(heads.v, heads.keys, part.head);
  Sums out[groups] = {};
  float maximum[4], normaliser[4];
  Pack<float, 4> log_sum_exp;
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
    log_sum_exp[i] = maximum[i] + logf(normaliser[i]);
  }
  if (part.first_channel == 0 && n == 0)
    store_statistics(heads.statistics(heads.log_sum_exp, part.head), part.first_row + m, heads.queries, log_sum_exp);
  store_rows<groups>(heads.result, heads, part, heads.queries, m, n, out);
}

/// grad_q: a block has a tile of queries and passes over the keys.
template <int groups>
__global__ void __launch_bounds__(threads, groups == 1 ? 2 : 1) attention_grad_q_kernel(const Heads<float> given) {
  const FloatHeads heads(given);
  __shared__ gemm::SimtShared<Tile> shared;
  __shared__ SharedWeights weights;
  const int m = threadIdx.x / 16 * 4, n = threadIdx.x % 16 * 4;
  const Part part(heads, heads.query_tiles, groups * tile);
  const Rows q = heads.rows(heads.q, heads.queries, part.head), k = heads.rows(heads.k, heads.keys, part.head);
  const Rows grad_out = heads.rows(heads.grad_out, heads.queries, part.head);
  const Rows v = heads.rows(heads.v, heads.keys, part.head);
  const Columns k_columns = heads.columns(heads.k, heads.keys, part.head);
  Sums grad[groups] = {};
  for (int first_key = 0; first_key < heads.keys; first_key += tile) {
    Sums scores = {}, products = {};
    gemm::simt_accumulate<Tile>(q, part.first_row, k, first_key, 0, heads.channels, m, n, shared, scores);
    gemm::simt_accumulate<Tile>(grad_out, part.first_row, v, first_key, 0, heads.channels, m, n, shared, products);
    // Loaded anew for each tile: registers that the products need do not carry them.
    const auto log_sum_exp =
        load_statistics<4>(heads.statistics(heads.log_sum_exp, part.head), part.first_row + m, heads.queries);
    const auto delta = load_statistics<4>(heads.statistics(heads.delta, part.head), part.first_row + m, heads.queries);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const ScoreGradient score(heads.scale, scores[0][0][i][j], products[0][0][i][j], log_sum_exp[i], delta[i]);
        scores[0][0][i][j] = first_key + n + j < heads.keys ? score.gradient : 0.0f;
      }
    weights.store(m, n, scores);
    add_weighted<groups>(weights, k_columns, first_key, part.first_channel, m, n, shared, grad);
  }
  store_rows<groups>(heads.result, heads, part, heads.queries, m, n, grad);
}

/// grad_k and grad_v: a block has a tile of keys and passes over the queries.
template <int groups>
__global__ void __launch_bounds__(threads, 1) attention_grad_kv_kernel(const Heads<float> given) {
  const FloatHeads heads(given);
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
    const auto log_sum_exp =
        load_statistics<4>(heads.statistics(heads.log_sum_exp, part.head), first_query + n, heads.queries);
    const auto delta = load_statistics<4>(heads.statistics(heads.delta, part.head), first_query + n, heads.queries);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const bool exists = first_query + n + j < heads.queries;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const ScoreGradient score(heads.scale, scores[0][0][i][j], products[0][0][i][j], log_sum_exp[j], delta[j]);
        scores[0][0][i][j] = exists ? score.probability : 0.0f;
        products[0][0][i][j] = exists ? score.gradient : 0.0f;
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

constexpr Kernels<float> kernels{.threads = threads,
                                 .forward = {&attention_forward_kernel<1>, &attention_forward_kernel<4>},
                                 .grad_q = {&attention_grad_q_kernel<1>, &attention_grad_q_kernel<4>},
                                 .grad_kv = {&attention_grad_kv_kernel<1>, &attention_grad_kv_kernel<2>},
                                 .forward_groups = 4,
                                 .grad_q_groups = 4,
                                 .grad_kv_groups = 2};

void forward_cuda(Stream& stream, const AttentionForward& arguments) {
  if (arguments.out.count() == 0) return;
  if (arguments.q.dtype == DType::bfloat16) return forward_bfloat16(stream, arguments);
  run_forward(stream, arguments, kernels);
}

void backward_cuda(Stream& stream, const AttentionBackward& arguments) {
  if (arguments.grad_k.count() == 0) return;
  if (arguments.q.count() == 0) {
    stream.zero(arguments.grad_k.data, static_cast<std::size_t>(arguments.grad_k.bytes()));
    stream.zero(arguments.grad_v.data, static_cast<std::size_t>(arguments.grad_v.bytes()));
    return;
  }
  if (arguments.q.dtype == DType::bfloat16) return backward_bfloat16(stream, arguments);
  run_backward(stream, arguments, kernels);
}

const bool registered = attention_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        attention_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie::attention_cuda
