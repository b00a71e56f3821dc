#include <cmath>

#include "kernels/attention/attention_heads.cuh"
#include "kernels/matmul/gemm_mma.cuh"

// Attention of bfloat16 operands on tensor cores (Dao 2023), in tiles of 64 queries and 64 keys. A warp of a block's
// four has 16 rows: of scores, which stay in its registers (16 x 64), turn into probabilities there and go as left
// operands into the next product as they lie, and of the sums, 64 channels a group. Sums, maxima and normalisers are
// float32. Tiles of 64 rows x 64 channels travel through shared memory; chunks of 16 bytes are permuted inside their
// rows, so that ldmatrix meets no bank twice.
namespace tweedie::attention_cuda {
namespace {

constexpr int threads = 128, warp_rows = 16;
constexpr int column_tiles = tile / 8;  // of eight columns, of one instruction
constexpr int row_chunks = tile / 8;    // of 16 bytes

using Sums = float[column_tiles][4];  // rows lane / 4 and lane / 4 + 8, columns 8 j + lane % 4 * 2 and the next
struct alignas(128) SharedTile {
  char bytes[tile * tile * 2];
  __device__ char* chunk(int row, int at) { return bytes + row * tile * 2 + ((at ^ (row & 7)) << 4); }
};

/// One operand of a head: (positions, channels), `stride` elements a position.
struct Operand {
  const bfloat16* data;
  std::int64_t stride;
  int positions, channels;
  bool vector;

  __device__ Operand(const Heads<bfloat16>& heads, const bfloat16* from, int of_positions, int head)
      : data(from + heads.place(of_positions, head)),
        stride(heads.row()),
        positions(of_positions),
        channels(heads.channels),
        vector(heads.vector) {}

  /// Starts a tile's way to shared memory, zeros where there are no values; done at finish().
  __device__ void issue(int first_row, int first_channel, SharedTile& to) const {
    for (int i = static_cast<int>(threadIdx.x); i < tile * row_chunks; i += threads) {
      const int row = i / row_chunks, at = i % row_chunks, channel = first_channel + at * 8;
      const bool inside = first_row + row < positions;
      const bfloat16* from = data + (first_row + row) * stride + channel;
      if (vector) {
        const int bytes = inside && channel < channels ? 16 : 0;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(gemm::shared_address(to.chunk(row, at))),
                     "l"(__cvta_generic_to_global(bytes > 0 ? from : data)), "r"(bytes)
                     : "memory");
      } else {
        Pack<bfloat16, 8> values;
        for (int k = 0; k < 8; ++k) values[k] = inside && channel + k < channels ? from[k] : bfloat16(0.0f);
        *reinterpret_cast<Pack<bfloat16, 8>*>(to.chunk(row, at)) = values;
      }
    }
  }
};

/// All issued tiles have arrived, for all threads.
__device__ void finish() {
  asm volatile("cp.async.commit_group;\ncp.async.wait_group 0;" ::: "memory");
  __syncthreads();
}

/// Rows of 16 x 16 of a left operand from a tile whose rows they are: k-th sixteen of the channels.
__device__ void load_rows(unsigned (&to)[4], SharedTile& from, int first_row, int k) {
  const int lane = threadIdx.x % 32;
  gemm::load_matrices(to, from.chunk(first_row + lane % 16, 2 * k + lane / 16), false);
}

/// sums += left right': both (rows, channels) tiles, of the warp's 16 rows of `left`; `steps` sixteens of channels.
__device__ void add_products(SharedTile& left, SharedTile& right, int first_row, int steps, Sums& sums) {
  const int lane = threadIdx.x % 32;
  for (int k = 0; k < steps; ++k) {
    unsigned a[4], b[4];
    load_rows(a, left, first_row, k);
#pragma unroll
    for (int j = 0; j < column_tiles; j += 2) {
      gemm::load_matrices(b, right.chunk(j * 8 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2), false);
      gemm::multiply_add<bfloat16>(sums[j], a, b[0], b[1]);
      gemm::multiply_add<bfloat16>(sums[j + 1], a, b[2], b[3]);
    }
  }
}

/// sums += weights right: weights 16 x 64 as a product left them, rounded to bfloat16; right (64 positions, channels),
/// of which `columns` count.
__device__ void add_weighted(const Sums& weights, SharedTile& right, int columns, Sums& sums) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < tile / 16; ++k) {
    const float(&low)[4] = weights[2 * k];
    const float(&high)[4] = weights[2 * k + 1];
    const unsigned a[4] = {bfloat16_pair(low[0], low[1]), bfloat16_pair(low[2], low[3]),
                           bfloat16_pair(high[0], high[1]), bfloat16_pair(high[2], high[3])};
#pragma unroll
    for (int j = 0; j < column_tiles; j += 2) {
      if (j * 8 >= columns) continue;
      unsigned b[4];
      gemm::load_matrices(b, right.chunk(k * 16 + lane % 16, j + lane / 16), true);
      gemm::multiply_add<bfloat16>(sums[j], a, b[0], b[1]);
      gemm::multiply_add<bfloat16>(sums[j + 1], a, b[2], b[3]);
    }
  }
}

/// Writes 64 channels, those that exist, of a warp's rows of the tile from tile_row on. They pass through `staged`, of
/// which the warp's rows are its own, and leave it by chunks in the order of memory.
__device__ void store_rows(bfloat16* to, const Heads<bfloat16>& heads, int head, int positions, int tile_row,
                           int first_channel, const Sums& sums, SharedTile& staged) {
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * warp_rows;
  __syncwarp();  // what lay there has been read
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int j = 0; j < column_tiles; ++j)
      *reinterpret_cast<std::uint32_t*>(staged.chunk(first_row + lane / 4 + half * 8, j) + lane % 4 * 4) =
          bfloat16_pair(sums[j][half * 2], sums[j][half * 2 + 1]);
  __syncwarp();
  to += heads.place(positions, head);
  for (int i = lane; i < warp_rows * row_chunks; i += 32) {
    const int row = first_row + i / row_chunks, at = i % row_chunks, channel = first_channel + at * 8;
    if (tile_row + row >= positions || channel >= heads.channels) continue;
    const auto values = load<8>(reinterpret_cast<const bfloat16*>(staged.chunk(row, at)));
    bfloat16* place = to + static_cast<std::int64_t>(tile_row + row) * heads.row() + channel;
    if (heads.vector) {
      store_global(place, values);
    } else {
      for (int k = 0; k < 8; ++k)
        if (channel + k < heads.channels) place[k] = values[k];
    }
  }
}

/// Over the four lanes that share rows.
template <class Combine>
__device__ float combine_row(float value, Combine combine) {
  value = combine(value, __shfl_xor_sync(all_lanes, value, 1));
  return combine(value, __shfl_xor_sync(all_lanes, value, 2));
}

/// Sixteens of channels in the 64 from first_channel.
__device__ int steps_of(int channels, int first_channel) {
  return (min(tile, channels - first_channel) + 15) / 16;
}

/// sums[i] = left[i] right[i]' of two tiles of positions, over all channels, for one or two products.
template <int products>
__device__ void all_products(const Operand* const (&left)[products], int first_left,
                             const Operand* const (&right)[products], int first_right, bool left_is_there,
                             SharedTile (&left_tiles)[products], SharedTile (&right_tiles)[products], int first_row,
                             Sums (&sums)[products]) {
  const int channels = left[0]->channels;
  for (int channel = 0; channel < channels; channel += tile) {
    __syncthreads();  // the tiles before have been read
#pragma unroll
    for (int i = 0; i < products; ++i) {
      if (!left_is_there) left[i]->issue(first_left, channel, left_tiles[i]);
      right[i]->issue(first_right, channel, right_tiles[i]);
    }
    finish();
#pragma unroll
    for (int i = 0; i < products; ++i)
      add_products(left_tiles[i], right_tiles[i], first_row, steps_of(channels, channel), sums[i]);
  }
}

/// sums[g] += weights times 64 positions of `right`, for the channels from first_channel + 64 g. Where a head has at
/// most 64 channels they lie in `buffer` already, if `is_there`.
template <int groups>
__device__ void add_all_weighted(const Sums& weights, const Operand& right, int first_position, int first_channel,
                                 bool is_there, SharedTile& buffer, Sums (&sums)[groups]) {
#pragma unroll
  for (int g = 0; g < groups; ++g) {
    const int channel = first_channel + g * tile;
    if (!is_there) {
      __syncthreads();
      right.issue(first_position, channel, buffer);
      finish();
    }
    add_weighted(weights, buffer, right.channels - channel, sums[g]);
  }
}

template <int groups>
__global__ void __launch_bounds__(threads, groups == 1 ? 3 : 2) forward_kernel(const Heads<bfloat16> heads) {
  __shared__ SharedTile query_tile[1], key_tile[1], value_tile;
  const Part part(heads, heads.query_tiles, groups * tile);
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * warp_rows;
  const Operand q(heads, heads.q, heads.queries, part.head), k(heads, heads.k, heads.keys, part.head),
      v(heads, heads.v, heads.keys, part.head);
  Sums out[groups] = {};
  float maximum[2] = {-INFINITY, -INFINITY}, normaliser[2] = {};
  for (int first_key = 0; first_key < heads.keys; first_key += tile) {
    Sums scores[1] = {};
    all_products<1>({&q}, part.first_row, {&k}, first_key, first_key > 0 && heads.channels <= tile, query_tile,
                    key_tile, first_row, scores);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = maximum[half];
#pragma unroll
      for (int j = 0; j < column_tiles; ++j)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = scores[0][j][half * 2 + c];
          score = first_key + j * 8 + lane % 4 * 2 + c < heads.keys ? score * heads.scale : -INFINITY;
          largest = fmaxf(largest, score);
        }
      largest = combine_row(largest, [](float a, float b) { return fmaxf(a, b); });
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < column_tiles; ++j)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = scores[0][j][half * 2 + c];
          score = expf(score - largest);
          sum += score;
        }
      const float factor = expf(maximum[half] - largest);
      normaliser[half] = normaliser[half] * factor + combine_row(sum, [](float a, float b) { return a + b; });
      maximum[half] = largest;
#pragma unroll
      for (int g = 0; g < groups; ++g)
#pragma unroll
        for (int j = 0; j < column_tiles; ++j) {
          out[g][j][half * 2] *= factor;
          out[g][j][half * 2 + 1] *= factor;
        }
    }
    add_all_weighted<groups>(scores[0], v, first_key, part.first_channel, false, value_tile, out);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int g = 0; g < groups; ++g)
#pragma unroll
      for (int j = 0; j < column_tiles; ++j) {
        out[g][j][half * 2] /= normaliser[half];
        out[g][j][half * 2 + 1] /= normaliser[half];
      }
    const int row = part.first_row + first_row + lane / 4 + half * 8;
    if (part.first_channel == 0 && lane % 4 == 0 && row < heads.queries)
      heads.log_sum_exp[static_cast<std::int64_t>(part.head) * heads.queries + row] =
          maximum[half] + logf(normaliser[half]);
  }
#pragma unroll
  for (int g = 0; g < groups; ++g)
    store_rows(heads.result, heads, part.head, heads.queries, part.first_row, part.first_channel + g * tile, out[g],
               query_tile[0]);
}

/// grad_q: a block has a tile of queries and passes over the keys.
template <int groups>
__global__ void __launch_bounds__(threads, 2) grad_q_kernel(const Heads<bfloat16> heads) {
  __shared__ SharedTile left[2], right[2];  // of queries: q, grad_out; of keys: k, v
  const Part part(heads, heads.query_tiles, groups * tile);
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * warp_rows;
  const bool few = heads.channels <= tile;
  const Operand q(heads, heads.q, heads.queries, part.head), k(heads, heads.k, heads.keys, part.head),
      v(heads, heads.v, heads.keys, part.head), grad_out(heads, heads.grad_out, heads.queries, part.head);
  float log_sum_exp[2], delta[2];
  for (int half = 0; half < 2; ++half) {
    const int row = min(part.first_row + first_row + lane / 4 + half * 8, heads.queries - 1);
    const std::int64_t at = static_cast<std::int64_t>(part.head) * heads.queries + row;
    log_sum_exp[half] = heads.log_sum_exp[at];
    delta[half] = heads.delta[at];
  }
  Sums grad[groups] = {};
  for (int first_key = 0; first_key < heads.keys; first_key += tile) {
    Sums sums[2] = {};  // scores, and grad_out v'
    all_products<2>({&q, &grad_out}, part.first_row, {&k, &v}, first_key, first_key > 0 && few, left, right, first_row,
                    sums);
#pragma unroll
    for (int j = 0; j < column_tiles; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const ScoreGradient score(heads.scale, sums[0][j][c], sums[1][j][c], log_sum_exp[c / 2], delta[c / 2]);
        sums[0][j][c] = first_key + j * 8 + lane % 4 * 2 + c % 2 < heads.keys ? score.gradient : 0.0f;
      }
    add_all_weighted<groups>(sums[0], k, first_key, part.first_channel, few, right[0], grad);
  }
#pragma unroll
  for (int g = 0; g < groups; ++g)
    store_rows(heads.result, heads, part.head, heads.queries, part.first_row, part.first_channel + g * tile, grad[g],
               left[0]);
}

/// grad_k and grad_v: a block has a tile of keys and passes over the queries.
__global__ void __launch_bounds__(threads, 2) grad_kv_kernel(const Heads<bfloat16> heads) {
  __shared__ SharedTile left[2], right[2];  // of keys: k, v; of queries: q, grad_out
  const Part part(heads, heads.key_tiles, tile);
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * warp_rows;
  const bool few = heads.channels <= tile;
  const Operand q(heads, heads.q, heads.queries, part.head), k(heads, heads.k, heads.keys, part.head),
      v(heads, heads.v, heads.keys, part.head), grad_out(heads, heads.grad_out, heads.queries, part.head);
  Sums grad_k[1] = {}, grad_v[1] = {};
  for (int first_query = 0; first_query < heads.queries; first_query += tile) {
    Sums sums[2] = {};  // scores, and v grad_out'
    all_products<2>({&k, &v}, part.first_row, {&q, &grad_out}, first_query, first_query > 0 && few, left, right,
                    first_row, sums);
#pragma unroll
    for (int j = 0; j < column_tiles; ++j) {
      const int query = first_query + j * 8 + lane % 4 * 2;
      const auto log_sum_exp = load_statistics<2>(heads.statistics(heads.log_sum_exp, part.head), query, heads.queries);
      const auto delta = load_statistics<2>(heads.statistics(heads.delta, part.head), query, heads.queries);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const ScoreGradient score(heads.scale, sums[0][j][c], sums[1][j][c], log_sum_exp[c % 2], delta[c % 2]);
        sums[0][j][c] = query + c % 2 < heads.queries ? score.probability : 0.0f;
        sums[1][j][c] = query + c % 2 < heads.queries ? score.gradient : 0.0f;
      }
    }
    add_all_weighted<1>(sums[0], grad_out, first_query, part.first_channel, few, right[1], grad_v);
    add_all_weighted<1>(sums[1], q, first_query, part.first_channel, few, right[0], grad_k);
  }
  store_rows(heads.grad_k, heads, part.head, heads.keys, part.first_row, part.first_channel, grad_k[0], left[0]);
  store_rows(heads.grad_v, heads, part.head, heads.keys, part.first_row, part.first_channel, grad_v[0], left[1]);
}

constexpr Kernels<bfloat16> kernels{.threads = threads,
                                    .forward = {&forward_kernel<1>, &forward_kernel<2>},
                                    .grad_q = {&grad_q_kernel<1>, &grad_q_kernel<2>},
                                    .grad_kv = {&grad_kv_kernel, &grad_kv_kernel},
                                    .forward_groups = 2,
                                    .grad_q_groups = 2,
                                    .grad_kv_groups = 1};

}  // namespace

void forward_bfloat16(Stream& stream, const AttentionForward& arguments) {
  run_forward(stream, arguments, kernels);
}
void backward_bfloat16(Stream& stream, const AttentionBackward& arguments) {
  run_backward(stream, arguments, kernels);
}

}  // namespace tweedie::attention_cuda
