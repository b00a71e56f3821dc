#pragma once

#include <algorithm>

#include "kernels/matmul/gemm_operands.cuh"
#include "kernels/runtime/cuda.h"

// How a product is laid over the device's blocks.
namespace tweedie::gemm {

inline constexpr std::int64_t multiprocessors = 108;  // of a large device, an A100
inline constexpr std::int64_t few_blocks = 96;        // fewer than that
inline constexpr std::int64_t many_blocks = 256;  // what a split of K aims at; a constant, so that sums do not depend
                                                  // on the device
inline constexpr int least_depth = 256;           // of K, that a split keeps
inline constexpr int most_splits = 32;

inline std::int64_t tile_count(const Extents& extents, int tile) {
  return static_cast<std::int64_t>((extents.m + tile - 1) / tile) * ((extents.n + tile - 1) / tile) * extents.batch;
}

/// Tiles of 128 x 128, but of 64 x 64 where large ones would leave most of the device idle or most of a tile empty.
inline bool wants_large_tiles(const Extents& extents) {
  return extents.m > 64 && extents.n > 64 && tile_count(extents, 128) >= few_blocks;
}

/// Which tile of C and part of K a block has.
struct BlockPlace {
  int first_m, first_n, k_begin, k_end, split, batch;
  __device__ BlockPlace(const Extents& extents, int tile, int block = blockIdx.x) {
    const int tiles_n = (extents.n + tile - 1) / tile, tiles_m = (extents.m + tile - 1) / tile;
    first_n = block % tiles_n * tile;
    block /= tiles_n;
    first_m = block % tiles_m * tile;
    block /= tiles_m;
    split = block % extents.splits;
    batch = block / extents.splits;
    k_begin = split * extents.k_per_split;
    k_end = min(extents.k, k_begin + extents.k_per_split);
  }
  __device__ std::int64_t partial_offset(const Extents& extents) const {
    return (static_cast<std::int64_t>(batch) * extents.splits + split) * extents.part_elements();
  }
};

/// Whether K may be split between blocks of this tile: large tiles are taken where there are enough of them.
constexpr bool may_split(int tile) {
  return tile < 128;
}

/// Splits K so that a small C with a long sum still fills the device; the sum is the more accurate for it. Not where
/// the busiest multiprocessor would have as much to do as before: 64 blocks of half the sum on 108 are two on some.
inline void split_inner(Extents& extents, int tile) {
  const std::int64_t tiles = tile_count(extents, tile);
  const std::int64_t wanted = !may_split(tile) || tiles >= few_blocks ? 1 : many_blocks / tiles;
  std::int64_t splits =
      std::clamp<std::int64_t>(std::min<std::int64_t>(wanted, extents.k / least_depth), 1, most_splits);
  const std::int64_t busiest = (tiles * splits + multiprocessors - 1) / multiprocessors;
  if (busiest >= splits) splits = 1;
  constexpr int step = 64;  // a multiple of every kernel's depth
  extents.k_per_split = static_cast<int>(((extents.k + splits - 1) / splits + step - 1) / step * step);
  extents.splits = std::max(1, (extents.k + extents.k_per_split - 1) / std::max(1, extents.k_per_split));
}

/// Calls `run(blocks)` for blocks of tile x tile, with a workspace and the sum over its parts afterwards where K is
/// split.
template <class A, class B, class C, class Run>
void run_split(Stream& stream, std::string_view operation, const Shape& shape, Problem<A, B, C>& problem, int tile,
               Run run) {
  const Extents& extents = problem.extents;
  split_inner(problem.extents, tile);
  const std::int64_t blocks = tile_count(extents, tile) * extents.splits;
  require(blocks <= 0x7fffffff, "{}: {} needs {} blocks, more than one launch holds", operation, shape, blocks);
  if (extents.splits == 1) return run(static_cast<unsigned>(blocks));
  const std::int64_t elements = extents.batch * extents.part_elements();
  const Scratch workspace(stream, static_cast<std::size_t>(elements * extents.splits) * sizeof(float));
  problem.partial = workspace.as<float>();
  run(static_cast<unsigned>(blocks));
  launch(stream, {operation, shape, blocks_for(stream, elements / 4), 256}, &combine_splits_kernel<C>, problem.partial,
         extents, problem.out);
}

/// An extent as the kernels count it.
inline int extent_of(std::string_view operation, std::int64_t extent) {
  require(extent < 0x7fffff00, "{}: an extent of {} is more than the CUDA kernels count to", operation, extent);
  return static_cast<int>(extent);
}

}  // namespace tweedie::gemm
