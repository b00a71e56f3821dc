#pragma once

#include "kernels/matmul/gemm_plan.cuh"

// How a block's sums reach C: through shared memory, so that neighbouring threads store neighbouring packs of four
// columns, whole sectors whatever the type, and the epilogue is compiled once.
namespace tweedie::gemm {

/// Place of an element of a (rows, extent) matrix of sums in shared memory. Groups of eight columns are permuted by the
/// row: a warp that stores fragments (eight rows, two columns a lane) and one that reads a row meet no bank twice.
template <int extent>
__device__ int sum_place(int row, int column) {
  return row * extent + (column ^ ((row & 3) * 8));
}

/// Stores the sums of rows x extent elements of C from (first_m, first_n) on, that lie in shared memory by sum_place:
/// finished, or where K is split (only where it may be) as a part of it. `partial` is this block's part. All threads of
/// the block call it after a barrier.
template <int rows, int extent, int threads, bool splittable, class T>
__device__ void store_sums(const float* sums, int first_m, int first_n, const Extents& extents, const Output<T>& out,
                           float* partial) {
  constexpr int packs = extent / 4;
#pragma unroll 1
  for (int i = threadIdx.x; i < rows * packs; i += threads) {
    const int m = first_m + i / packs, column = i % packs * 4, n = first_n + column;
    if (m >= extents.m || n >= extents.n) continue;
    const auto four = load<4>(sums + sum_place<extent>(i / packs, column));
    if constexpr (splittable) {
      if (extents.splits > 1) {
        store_global(partial + static_cast<std::int64_t>(m) * extents.part_columns() + n, four);
        continue;
      }
    }
    out.store_four(m, out.row(m), n, extents.n, four);
  }
}

}  // namespace tweedie::gemm
