#pragma once

#include "kernels/matmul/gemm_store.cuh"

// The GEMM on tensor cores: mma.sync m16n8k16 of bfloat16 and m16n8k8 of TF32, sums in float32. A block of eight warps
// computes tile x tile of C; steps of 64 bytes of K travel through a ring of buffers in shared memory by cp.async.
// Chunks of 16 bytes are permuted inside their rows, so that no access of shared memory meets a bank twice.
namespace tweedie::gemm {

inline constexpr int mma_threads = 256, ring = 4;

/// Warps take (16 row_tiles) x (8 column_tiles) of C, two of them down and four across.
template <class T, int tile_extent>
struct MmaTile {
  using Element = T;
  static constexpr int extent = tile_extent;
  static constexpr int depth = 64 / sizeof(T);  // of K, a step
  static constexpr int row_tiles = extent / 32, column_tiles = extent / 32;
  static constexpr int chunks = extent * 4 / mma_threads;  // of a step and operand, that a thread moves
  static constexpr int step_bytes = extent * 64;
  static constexpr std::size_t shared_bytes = std::size_t{ring} * 2 * step_bytes;
};

/// Byte of the chunk with index `at` in row `row` of a step: rows along k hold 4 chunks, rows along outer
/// extent / chunk<T>.
template <class Tile, bool k_contiguous>
__device__ int chunk_offset(int row, int at) {
  if constexpr (k_contiguous) return row * 64 + ((at ^ (row >> 1 & 3)) << 4);
  constexpr int spread = sizeof(typename Tile::Element) == 2 ? 1 : 2;
  constexpr int mask = Tile::extent / chunk<typename Tile::Element> >= 8 * spread ? 7 : 3;
  return row * Tile::extent * static_cast<int>(sizeof(typename Tile::Element)) +
         ((at ^ (spread * row & (spread == 1 ? mask : 6))) << 4);
}

__device__ inline unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// A thread's part of one operand's steps.
template <class Source, class Tile>
class MmaStage {
 public:
  using T = typename Tile::Element;
  __device__ MmaStage(const Source& source, int first) : source_(source) {
#pragma unroll
    for (int c = 0; c < Tile::chunks; ++c) lanes_[c] = source.lane(first + outer(c));
  }
  /// Starts the step's way to shared memory; done at the matching wait and barrier.
  __device__ void issue(int k, char* shared) const {
#pragma unroll
    for (int c = 0; c < Tile::chunks; ++c) {
      char* to = shared + chunk_offset<Tile, Source::k_contiguous>(line(c), at(c));
      if (source_.vector) {
        const Place<T> place = source_.place(lanes_[c], k + inner(c));
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                     "l"(__cvta_generic_to_global(place.data)), "r"(place.count * static_cast<int>(sizeof(T)))
                     : "memory");
      } else {
        // Words move down one place each; not unrolled further, which would take more registers than there are.
        constexpr int of_word = 4 / sizeof(T);
        Pack<unsigned, 4> words = {};
#pragma unroll 2
        for (int w = 0; w < 4; ++w) {
          Pack<T, of_word> word;
#pragma unroll
          for (int i = 0; i < of_word; ++i) word[i] = source_.element(lanes_[c], k + inner(c), w * of_word + i);
          words = {words[1], words[2], words[3], __builtin_bit_cast(unsigned, word)};
        }
        store_shared(reinterpret_cast<unsigned*>(to), words);
      }
    }
  }

 private:
  static constexpr int per_line = Source::k_contiguous ? 4 : Tile::extent / chunk<T>;
  static __device__ int line(int c) {
    return (threadIdx.x + c * mma_threads) / per_line;
  }
  static __device__ int at(int c) {
    return (threadIdx.x + c * mma_threads) % per_line;
  }
  static __device__ int outer(int c) {
    return Source::k_contiguous ? line(c) : at(c) * chunk<T>;
  }
  static __device__ int inner(int c) {
    return Source::k_contiguous ? at(c) * chunk<T> : line(c);
  }

  const Source& source_;
  typename Source::Lane lanes_[Tile::chunks];
};

__device__ inline void load_matrices(unsigned (&to)[4], const char* from, bool transposed) {
  if (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(from))
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(from))
                 : "memory");
}

/// A float32 of a step, rounded to TF32 (to nearest, ties away from zero): that of a lane at (outer + further + lane /
/// 4, k + lane % 4). outer and further are multiples of 8 without common bits below 32, k is one of 4; further and k
/// are known to the compiler. Rows along outer: the lane's part of the address is apart from what the compiler knows,
/// or it would keep each of dozens of addresses in a register of its own.
template <class Tile, bool k_contiguous>
__device__ unsigned tf32_at(const char* step, int outer, int further, int k) {
  const int lane = threadIdx.x % 32, down = lane % 4, along = lane / 4;
  int offset;
  if constexpr (k_contiguous) {
    offset = chunk_offset<Tile, true>(outer + further + along, k / 4) + down * 4;
  } else {
    constexpr int row_bytes = Tile::extent * 4;
    const int turned = (2 * down ^ (outer / 4)) & 6;
    const int own = down * row_bytes + (outer & ~31) * 4 + along / 4 * 16 + along % 4 * 4;
    offset = own + (((further / 4 & 6) ^ turned) << 4) + (further & ~31) * 4 + k * row_bytes;
  }
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(*reinterpret_cast<const float*>(step + offset)));
  return rounded;
}

/// Fragments of 16 rows of A for one instruction, from row m + further on.
template <class Tile, bool k_contiguous>
__device__ void load_a(unsigned (&to)[4], const char* step, int m, int further, int k) {
  if constexpr (sizeof(typename Tile::Element) == 2) {
    const int lane = threadIdx.x % 32, row = lane % 8, low = lane / 8 % 2, high = lane / 16;
    m += further;
    if constexpr (k_contiguous)
      load_matrices(to, step + chunk_offset<Tile, true>(m + low * 8 + row, k / 8 + high), false);
    else
      load_matrices(to, step + chunk_offset<Tile, false>(k + high * 8 + row, m / 8 + low), true);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) to[i] = tf32_at<Tile, k_contiguous>(step, m, further + i % 2 * 8, k + i / 2 * 4);
  }
}

/// Fragments of 16 columns of B, from n + further on, for one instruction: two for the first eight, two for the others.
template <class Tile, bool k_contiguous>
__device__ void load_b(unsigned (&to)[4], const char* step, int n, int further, int k) {
  if constexpr (sizeof(typename Tile::Element) == 2) {
    const int lane = threadIdx.x % 32, row = lane % 8, low = lane / 8 % 2, high = lane / 16;
    n += further;
    if constexpr (k_contiguous)
      load_matrices(to, step + chunk_offset<Tile, true>(n + high * 8 + row, k / 8 + low), false);
    else
      load_matrices(to, step + chunk_offset<Tile, false>(k + low * 8 + row, n / 8 + high), true);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) to[i] = tf32_at<Tile, k_contiguous>(step, n, further + i / 2 * 8, k + i % 2 * 4);
  }
}

template <class T>
__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if constexpr (sizeof(T) == 2)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// What follows the loop. Thread and block are asked for anew: nothing is carried through the loop in registers that
/// can be found again after it.
template <class Tile, class A, class B, class C>
__device__ void store_tile(const Problem<A, B, C>& given, const float (&sums)[Tile::row_tiles][Tile::column_tiles][4],
                           char* shared) {
  unsigned thread, block;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
  const int warp = static_cast<int>(thread / 32), lane = static_cast<int>(thread % 32);
  const int row = warp / 4 * Tile::row_tiles * 16 + lane / 4, column = warp % 4 * Tile::column_tiles * 8 + lane % 4 * 2;
  float* staged = reinterpret_cast<float*>(shared);
  static_assert(Tile::shared_bytes >= sizeof(float) * Tile::extent * Tile::extent);
  __syncthreads();  // the ring is free
#pragma unroll
  for (int j = 0; j < Tile::column_tiles; ++j) {
    float* to = staged + sum_place<Tile::extent>(row, column + j * 8);
#pragma unroll
    for (int i = 0; i < 2 * Tile::row_tiles; ++i)  // rows 8 apart are permuted alike
      store_shared(to + i * 8 * Tile::extent, Pack<float, 2>{sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1]});
  }
  __syncthreads();
  const BlockPlace place(given.extents, Tile::extent, static_cast<int>(block));
  Output<C> out = given.out;
  out.select(place.batch);
  store_sums<Tile::extent, Tile::extent, mma_threads, may_split(Tile::extent)>(
      staged, place.first_m, place.first_n, given.extents, out, given.partial + place.partial_offset(given.extents));
}

template <class Tile, class A, class B, class C>
__global__ void __launch_bounds__(mma_threads, 2) mma_kernel(const __grid_constant__ Problem<A, B, C> given) {
  extern __shared__ __align__(128) char shared[];
  using T = typename Tile::Element;
  const Extents extents = given.extents;
  const BlockPlace place(extents, Tile::extent);
  A a = given.a;
  B b = given.b;
  a.select(place.batch);
  b.select(place.batch);
  const auto buffer = [&](int step) { return shared + step % ring * 2 * Tile::step_bytes; };

  float sums[Tile::row_tiles][Tile::column_tiles][4] = {};
  const int warp = threadIdx.x / 32;
  const int m = warp / 4 * Tile::row_tiles * 16, n = warp % 4 * Tile::column_tiles * 8;
  {
    const MmaStage<A, Tile> stage_a(a, place.first_m);
    const MmaStage<B, Tile> stage_b(b, place.first_n);
    const int steps = (place.k_end - place.k_begin + Tile::depth - 1) / Tile::depth;
    const auto issue = [&](int step) {
      if (step < steps) {
        stage_a.issue(place.k_begin + step * Tile::depth, buffer(step));
        stage_b.issue(place.k_begin + step * Tile::depth, buffer(step) + Tile::step_bytes);
      }
      asm volatile("cp.async.commit_group;" ::: "memory");
    };
#pragma unroll 1  // one copy of it: more would only carry more values through the loop
    for (int step = 0; step < ring - 1; ++step) issue(step);
    for (int step = 0; step < steps; ++step) {
      asm volatile("cp.async.wait_group %0;" ::"n"(ring - 2) : "memory");
      __syncthreads();
      issue(step + ring - 1);  // into the buffer that everyone has left
      __syncwarp();            // lanes may have parted over elements that do not exist
      const char* step_a = buffer(step);
      const char* step_b = step_a + Tile::step_bytes;
#pragma unroll
      for (int k = 0; k < Tile::depth; k += Tile::depth / 2) {
        unsigned right[Tile::column_tiles / 2][4];
#pragma unroll
        for (int j = 0; j < Tile::column_tiles / 2; ++j) load_b<Tile, B::k_contiguous>(right[j], step_b, n, j * 16, k);
#pragma unroll
        for (int i = 0; i < Tile::row_tiles; ++i) {
          unsigned left[4];
          load_a<Tile, A::k_contiguous>(left, step_a, m, i * 16, k);
#pragma unroll
          for (int j = 0; j < Tile::column_tiles; ++j)
            multiply_add<T>(sums[i][j], left, right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  }

  store_tile<Tile>(given, sums, shared);
}

template <class A, class B, class C>
void mma_gemm(Stream& stream, std::string_view operation, const Shape& shape, Problem<A, B, C> problem) {
  using T = typename A::Element;
  const bool large = wants_large_tiles(problem.extents);
  run_split(stream, operation, shape, problem, large ? 128 : 64, [&](unsigned blocks) {
    if (large)
      launch(stream, {operation, shape, blocks, mma_threads, MmaTile<T, 128>::shared_bytes},
             &mma_kernel<MmaTile<T, 128>, A, B, C>, problem);
    else
      launch(stream, {operation, shape, blocks, mma_threads, MmaTile<T, 64>::shared_bytes},
             &mma_kernel<MmaTile<T, 64>, A, B, C>, problem);
  });
}

}  // namespace tweedie::gemm
