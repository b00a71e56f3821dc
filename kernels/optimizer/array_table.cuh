#pragma once

#include <algorithm>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

// Many arrays in one launch: a table of them travels with the kernel's parameters, so nothing is copied to the device
// first and a captured graph holds all it needs.
namespace tweedie {

/// Elements that a block takes from one array at a time.
inline constexpr std::int64_t elements_of_piece = 4096;

/// Entry has `std::int64_t count`. Array i has the pieces [first_piece[i], first_piece[i + 1]) of this launch.
template <class Entry>
struct ArrayTable {
  static constexpr int capacity = (32000 - 256) / (sizeof(Entry) + sizeof(int));  // CUDA passes up to 32,764 bytes
  Entry entries[capacity];
  int first_piece[capacity + 1];
  int arrays;

  __device__ int pieces() const { return first_piece[arrays]; }
};

/// Calls launch_table(table, pieces of it, pieces of the tables before) for as few tables as hold all arrays;
/// entry_of(i) describes array i.
template <class Entry, class EntryOf, class LaunchTable>
void for_each_table(std::size_t arrays, EntryOf entry_of, LaunchTable launch_table) {
  std::int64_t pieces_before = 0;
  for (std::size_t first = 0; first < arrays;) {
    ArrayTable<Entry> table;
    table.arrays = 0;
    std::int64_t pieces = 0;
    for (; first < arrays && table.arrays < ArrayTable<Entry>::capacity; ++first) {
      const Entry entry = entry_of(first);
      if (entry.count == 0) continue;
      table.entries[table.arrays] = entry;
      table.first_piece[table.arrays] = static_cast<int>(pieces);
      pieces += (entry.count + elements_of_piece - 1) / elements_of_piece;
      ++table.arrays;
    }
    table.first_piece[table.arrays] = static_cast<int>(pieces);
    if (pieces > 0) launch_table(table, pieces, pieces_before);
    pieces_before += pieces;
  }
}

/// Calls body(entry, first, last) for piece `piece`: the elements [first, last) of one array.
template <class Entry, class Body>
__device__ void with_piece(const ArrayTable<Entry>& table, int piece, Body body) {
  int low = 0, high = table.arrays - 1;  // the last array whose first piece is not beyond this one
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (table.first_piece[middle] <= piece)
      low = middle;
    else
      high = middle - 1;
  }
  const Entry& entry = table.entries[low];
  const std::int64_t first = static_cast<std::int64_t>(piece - table.first_piece[low]) * elements_of_piece;
  const std::int64_t last = first + elements_of_piece;
  body(entry, first, last < entry.count ? last : entry.count);
}

/// Calls body(Width, i) so that packs of 4, or of 1 where not `aligned`, cover [first, last) between a block's threads;
/// first is a multiple of 4.
template <class Body>
__device__ void for_each_pack_of_block(std::int64_t first, std::int64_t last, bool aligned, Body body) {
  const std::int64_t whole = aligned ? first + (last - first) / 4 * 4 : first;
  for (std::int64_t i = first + 4 * threadIdx.x; i < whole; i += 4 * blockDim.x) body(Width<4>{}, i);
  for (std::int64_t i = whole + threadIdx.x; i < last; i += blockDim.x) body(Width<1>{}, i);
}

template <class... Pointers>
__device__ bool device_aligned_16(Pointers... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace tweedie
