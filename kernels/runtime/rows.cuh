#pragma once

#include <utility>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/values.cuh"

// Kernels that reduce over the rows of a matrix and write the rows again, each read once: a team of threads takes a row
// and holds its values in registers between the reductions. Rows too long for that are read again.
namespace tweedie {

/// A warp for rows that its registers hold, a block for longer ones.
inline constexpr int short_team = 32, long_team = block_threads;

/// Packs of `width` values that a thread holds: 16 values where they are moved by 16 bytes.
constexpr int held_packs_of(int width) {
  return width == 8 ? 2 : 4;
}

/// `width`: of the packs that the row is moved by.
inline bool takes_long_team(std::int64_t columns, int width) {
  return columns > short_team * held_packs_of(width) * width;
}
/// Of a row's columns, those whose values a team holds.
inline std::int64_t held_columns(std::int64_t columns, int width) {
  const std::int64_t held = (takes_long_team(columns, width) ? long_team : short_team) * held_packs_of(width) * width;
  return columns < held ? columns : held;
}
/// Blocks for `rows` rows.
inline unsigned blocks_for_rows(Stream& stream, std::int64_t rows, std::int64_t columns, int width) {
  return blocks_for(stream, rows * (takes_long_team(columns, width) ? long_team : short_team));
}

/// This thread's team among those of the grid, and its place there. Every thread of a block must run the same number of
/// rows where the team is a block; warps are free.
template <int team>
__device__ std::int64_t team_index() {
  return grid_thread() / team;
}
template <int team>
__device__ std::int64_t teams() {
  return grid_threads() / team;
}

/// The reduction of one value a thread over the team, in every thread. `shared` holds 32 values.
template <int team, class T, class Combine>
__device__ T team_reduce(T value, T identity, T* shared, Combine combine) {
  if constexpr (team == 32)
    return warp_reduce(value, combine);
  else
    return block_reduce(value, identity, shared, combine);
}
template <int team>
__device__ float team_sum(float value, float* shared) {
  return team_reduce<team>(value, 0.0f, shared, [](float a, float b) { return a + b; });
}

/// This thread's part of the same row of `arrays` matrices of T, of `columns` values (a multiple of width) each.
template <class T, int team, int width, int arrays = 1>
class RowPart {
 public:
  static constexpr int held_packs = held_packs_of(width);
  struct Packs {
    Pack<float, width> of[arrays];
  };
  __device__ RowPart(const T* const (&rows)[arrays], std::int64_t columns) : columns_(columns) {
    for (int i = 0; i < arrays; ++i) rows_[i] = rows[i];
    for_each_held([&](auto k) {
      if (column(k()) < columns_) held_[k()] = load_packs(column(k()));
    });
  }

  /// Calls body(packs, column of their first value) for all of the part, always in the same order.
  template <class Body>
  __device__ void for_each(Body body) const {
    for_each_numbered([&](auto, const Packs& packs, std::int64_t column) { body(packs, column); });
  }
  /// The same with the number of the pack before the others, a constant; held_packs stands for all that are not held.
  template <class Body>
  __device__ void for_each_numbered(Body body) const {
    for_each_held([&](auto k) {
      if (column(k()) < columns_) body(k, held_[k()], column(k()));
    });
    if constexpr (!holds_all)
      for (int k = held_packs; column(k) < columns_; ++k) body(Width<held_packs>{}, load_packs(column(k)), column(k));
  }

  static __device__ std::int64_t column(int k) {
    return (static_cast<std::int64_t>(k) * team + threadIdx.x % team) * width;
  }
  /// Calls body(Width<k>) for the packs that a thread holds.
  template <class Body>
  static __device__ void for_each_held(Body body) {
    [&]<int... k>(std::integer_sequence<int, k...>) {
      (body(Width<k>{}), ...);
    }
    (std::make_integer_sequence<int, held_packs>{});
  }

 private:
  static constexpr bool holds_all = team == short_team;
  __device__ Packs load_packs(std::int64_t column) const {
    Packs packs;
    for (int i = 0; i < arrays; ++i) packs.of[i] = load_floats<width>(rows_[i] + column);
    return packs;
  }
  const T* rows_[arrays];
  std::int64_t columns_;
  Packs held_[held_packs];
};

/// The kernel for rows of `columns` values, moved by packs of `width` or, where that is 1, by single values.
template <class Kernel>
Kernel choose_row_kernel(std::int64_t columns, int width, Kernel short_packed, Kernel short_single, Kernel long_packed,
                         Kernel long_single) {
  if (takes_long_team(columns, width)) return width > 1 ? long_packed : long_single;
  return width > 1 ? short_packed : short_single;
}

}  // namespace tweedie
