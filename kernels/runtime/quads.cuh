#pragma once

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

// Loops over the rows of a matrix by quads: columns 4 q ... 4 q + 3 of one row, the unit in which Philox gives words.
namespace tweedie {

/// The grid of block_threads a block for for_each_quad: the quads of a row along x, rows along y.
inline dim3 quad_grid(Stream& stream, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t most_rows = 65535;
  return {blocks_for(stream, (columns + 3) / 4), static_cast<unsigned>(rows < most_rows ? rows : most_rows)};
}

/// Calls body(row, column, count) once for every quad, count being 4 or, at the end of a row, less.
template <class Body>
__device__ void for_each_quad(std::int64_t rows, std::int64_t columns, Body body) {
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y)
    for (std::int64_t column = 4 * grid_thread(); column < columns; column += 4 * grid_threads())
      body(row, column, static_cast<int>(columns - column < 4 ? columns - column : 4));
}

/// `packed`: whether the quad may be moved by one access; it then has four values.
template <class T>
__device__ Pack<T, 4> load_quad(const T* from, int count, bool packed) {
  if (packed) return load<4>(from);
  Pack<T, 4> quad = {};
  for (int k = 0; k < 4; ++k)
    if (k < count) quad[k] = from[k];
  return quad;
}
template <class T>
__device__ void store_quad(T* to, const Pack<T, 4>& quad, int count, bool packed) {
  if (packed) return store(to, quad);
  for (int k = 0; k < 4; ++k)
    if (k < count) to[k] = quad[k];
}

}  // namespace tweedie
