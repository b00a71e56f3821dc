#pragma once

#include "kernels/matmul/gemm_store.cuh"

// The float32 GEMM on CUDA cores: products and sums are fused multiply-adds in float32, k ascending.
namespace tweedie::gemm {

/// A block computes tile x tile of C with 256 threads, each (tile / 16)^2 elements in groups of four rows and columns
/// that are 64 apart, so that a warp's reads of shared memory are broadcasts of whole rows.
template <int tile_extent>
struct SimtTile {
  static constexpr int extent = tile_extent;
  static constexpr int depth = extent == 128 ? 8 : 16;  // of K, a step
  static constexpr int groups = extent / 64;            // of four, along m and along n
  static constexpr int chunks = extent * depth / 4 / 256;
};
inline constexpr int simt_threads = 256;

/// A step's part of one operand on its way from global to shared memory, where it lies (depth, extent). Chunks along k
/// are transposed on the way; their columns are permuted by a swizzle that depends on k / 4, so that neither these
/// stores nor the reads of rows meet a bank twice.
template <class Source, class Tile>
class SimtStage {
 public:
  __device__ SimtStage(const Source& source, int first) : source_(source) {
#pragma unroll
    for (int c = 0; c < Tile::chunks; ++c) lanes_[c] = source.lane(first + outer(c));
  }
  __device__ void fetch(int k) {
#pragma unroll
    for (int c = 0; c < Tile::chunks; ++c) {
      const int at = k + inner(c);
      if (source_.vector) {
        const Place<float> place = source_.place(lanes_[c], at);
        values_[c] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (place.count == 4) {
          values_[c] = *reinterpret_cast<const float4*>(place.data);
        } else if (place.count > 0) {
          values_[c].x = place.data[0];
          if (place.count > 1) values_[c].y = place.data[1];
          if (place.count > 2) values_[c].z = place.data[2];
        }
      } else {
        values_[c] = make_float4(source_.element(lanes_[c], at, 0), source_.element(lanes_[c], at, 1),
                                 source_.element(lanes_[c], at, 2), source_.element(lanes_[c], at, 3));
      }
    }
  }
  __device__ void store(float* shared) const {
#pragma unroll
    for (int c = 0; c < Tile::chunks; ++c) {
      if constexpr (Source::k_contiguous) {
        float* to = shared + inner(c) * Tile::extent + (outer(c) ^ swizzle(inner(c)));
        to[0] = values_[c].x;
        to[Tile::extent] = values_[c].y;
        to[2 * Tile::extent] = values_[c].z;
        to[3 * Tile::extent] = values_[c].w;
      } else {
        store_shared(shared + inner(c) * Tile::extent + outer(c),
                     Pack<float, 4>{values_[c].x, values_[c].y, values_[c].z, values_[c].w});
      }
    }
  }
  static __device__ constexpr int swizzle(int k) {
    return Source::k_contiguous ? k / 4 * (128 / Tile::depth) : 0;
  }

 private:
  // Place of a thread's chunk in the step: neighbouring threads take neighbouring chunks of memory.
  static constexpr int per_line = (Source::k_contiguous ? Tile::depth : Tile::extent) / 4;
  static __device__ int line(int c) {
    return (threadIdx.x + c * simt_threads) / per_line;
  }
  static __device__ int along(int c) {
    return (threadIdx.x + c * simt_threads) % per_line * 4;
  }
  static __device__ int outer(int c) {
    return Source::k_contiguous ? line(c) : along(c);
  }
  static __device__ int inner(int c) {
    return Source::k_contiguous ? along(c) : line(c);
  }

  const Source& source_;
  typename Source::Lane lanes_[Tile::chunks];
  float4 values_[Tile::chunks];
};

/// What a thread sums: groups x groups blocks of 4 x 4.
template <class Tile>
using SimtSums = float[Tile::groups][Tile::groups][4][4];

/// sums += a step's product; the thread's rows start at m and columns at n (multiples of four), of each group of 64.
/// The operands' columns are permuted by swizzle_a(k) and swizzle_b(k).
template <class Tile, class SwizzleA, class SwizzleB>
__device__ void simt_multiply(const float* a, const float* b, int m, int n, SwizzleA swizzle_a, SwizzleB swizzle_b,
                              SimtSums<Tile>& sums) {
#pragma unroll
  for (int k = 0; k < Tile::depth; ++k) {
    float4 left[Tile::groups], right[Tile::groups];
#pragma unroll
    for (int g = 0; g < Tile::groups; ++g) {
      left[g] = *reinterpret_cast<const float4*>(a + k * Tile::extent + g * 64 + (m ^ swizzle_a(k)));
      right[g] = *reinterpret_cast<const float4*>(b + k * Tile::extent + g * 64 + (n ^ swizzle_b(k)));
    }
#pragma unroll
    for (int g = 0; g < Tile::groups; ++g)
#pragma unroll
      for (int h = 0; h < Tile::groups; ++h) {
        const float rows[4] = {left[g].x, left[g].y, left[g].z, left[g].w};
        const float columns[4] = {right[h].x, right[h].y, right[h].z, right[h].w};
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[g][h][i][j] = fmaf(rows[i], columns[j], sums[g][h][i][j]);
      }
  }
}

/// Two buffers of a step of both operands.
template <class Tile>
struct SimtShared {
  alignas(16) float a[2][Tile::depth * Tile::extent];
  alignas(16) float b[2][Tile::depth * Tile::extent];
};

/// sums += A B over k_begin <= k < k_end, of the tile that starts at (first_m, first_n). All threads of the block call
/// it; the buffers are free when it returns.
template <class Tile, class A, class B>
__device__ void simt_accumulate(const A& a, int first_m, const B& b, int first_n, int k_begin, int k_end, int m, int n,
                                SimtShared<Tile>& shared, SimtSums<Tile>& sums) {
  SimtStage<A, Tile> stage_a(a, first_m);
  SimtStage<B, Tile> stage_b(b, first_n);
  const int steps = (k_end - k_begin + Tile::depth - 1) / Tile::depth;
  if (steps > 0) {
    stage_a.fetch(k_begin);
    stage_b.fetch(k_begin);
    stage_a.store(shared.a[0]);
    stage_b.store(shared.b[0]);
  }
  __syncthreads();
  for (int step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) {
      stage_a.fetch(k_begin + (step + 1) * Tile::depth);
      stage_b.fetch(k_begin + (step + 1) * Tile::depth);
    }
    simt_multiply<Tile>(shared.a[step % 2], shared.b[step % 2], m, n, &SimtStage<A, Tile>::swizzle,
                        &SimtStage<B, Tile>::swizzle, sums);
    if (more) {
      stage_a.store(shared.a[(step + 1) % 2]);
      stage_b.store(shared.b[(step + 1) % 2]);
    }
    __syncthreads();
  }
}

template <class Tile, class A, class B>
__global__ void __launch_bounds__(simt_threads, Tile::extent == 64 ? 2 : 1)
    simt_kernel(const Problem<A, B, float> given) {
  __shared__ SimtShared<Tile> shared;
  const Extents extents = given.extents;
  const BlockPlace place(extents, Tile::extent);
  A a = given.a;
  B b = given.b;
  a.select(place.batch);
  b.select(place.batch);

  SimtSums<Tile> sums = {};
  // Threads of a warp cover 4 x 8 groups, warps 4 x 2.
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int m = (warp / 2 * 4 + lane / 8) * 4, n = (warp % 2 * 8 + lane % 8) * 4;
  simt_accumulate<Tile>(a, place.first_m, b, place.first_n, place.k_begin, place.k_end, m, n, shared, sums);

  Output<float> out = given.out;
  out.select(place.batch);
  float* partial = given.partial + place.partial_offset(extents);
  // The buffers are free: each group of 64 x 64 goes through them.
  float* staged = reinterpret_cast<float*>(&shared);
  static_assert(sizeof(shared) >= sizeof(float) * 64 * 64);
#pragma unroll
  for (int g = 0; g < Tile::groups; ++g)
#pragma unroll
    for (int h = 0; h < Tile::groups; ++h) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float(&s)[4] = sums[g][h][i];
        store_shared(staged + sum_place<64>(m + i, n), Pack<float, 4>{s[0], s[1], s[2], s[3]});
      }
      __syncthreads();
      store_sums<64, 64, simt_threads, may_split(Tile::extent)>(staged, place.first_m + g * 64, place.first_n + h * 64,
                                                                extents, out, partial);
      __syncthreads();
    }
}

template <class A, class B>
void simt_gemm(Stream& stream, std::string_view operation, const Shape& shape, Problem<A, B, float> problem) {
  const bool large = wants_large_tiles(problem.extents);
  run_split(stream, operation, shape, problem, large ? 128 : 64, [&](unsigned blocks) {
    launch(stream, {operation, shape, blocks, simt_threads},
           large ? &simt_kernel<SimtTile<128>, A, B> : &simt_kernel<SimtTile<64>, A, B>, problem);
  });
}

}  // namespace tweedie::gemm
