#pragma once

#include "kernels/runtime/values.cuh"

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

/// `packed`: whether the quad may be moved by one access; it then has four values. bfloat16 comes as float32.
template <class T>
__device__ auto load_quad(const T* from, int count, bool packed) {
  using Value = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (packed) return load_floats<4>(from);
  } else {
    if (packed) return load<4>(from);
  }
  Pack<Value, 4> quad = {};
  for (int k = 0; k < 4; ++k)
    if (k < count) quad[k] = static_cast<Value>(from[k]);
  return quad;
}
/// T: float or bfloat16.
template <class T>
__device__ void store_quad(T* to, const Pack<float, 4>& quad, int count, bool packed) {
  if (packed) return store_floats(to, quad);
  for (int k = 0; k < 4; ++k)
    if (k < count) store_floats(to + k, Pack<float, 1>{{quad[k]}});
}

}  // namespace tweedie
