// Moving matrix fragments: ldmatrix, stmatrix, movmatrix, wmma.load and wmma.store.
#include <cstring>

#include "exec/access.h"
#include "exec/gather.h"
#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

// The host address of each row that the first 8 * count lanes name; false after a fault.
bool rows_of(Warp& warp, const Inst* in, u8** rows, AccessKind kind) {
  const u32* a = reg<u32>(warp, in->a);
  const u32 lanes = 8u * in->count;
  u64 addresses[kLanes] = {};
  for (u32 i = 0; i < lanes; ++i) {
    const u32 address = a[i] + static_cast<u32>(in->imm);
    if (address % 16) return fault_misaligned(warp, in, address, 16, i), false;
    if (static_cast<u64>(address) + 16 > warp.block->shared_bytes)
      return fault_bounds(warp, in, SpaceKind::shared, address, 16, i), false;
    rows[i] = warp.block->shared + address;
    addresses[i] = address;
  }
  ++warp.inner_time;
  if (warp.observe) observe(warp, in, addresses, lanes == 32 ? kFull : (1u << lanes) - 1, 16, SpaceKind::shared, kind);
  return true;
}

const Inst* load_matrix(Warp& warp, const Inst* in) {  // flags 1: transposed
  u8* rows[kLanes];
  if (!gather_warp(warp, in) || !rows_of(warp, in, rows, AccessKind::load)) return nullptr;
  u32 result[4][kLanes];
  for (u32 m = 0; m < in->count; ++m) {
    if (in->flags & 1) {
      u16 cells[8][8];
      for (int r = 0; r < 8; ++r) std::memcpy(cells[r], rows[8 * m + r], 16);
      for (int i = 0; i < kLanes; ++i)
        result[m][i] = static_cast<u32>(cells[2 * (i % 4)][i / 4]) | static_cast<u32>(cells[2 * (i % 4) + 1][i / 4])
                                                                         << 16;
    } else {
      for (int r = 0; r < 8; ++r) std::memcpy(result[m] + 4 * r, rows[8 * m + r], 16);
    }
  }
  for (u32 m = 0; m < in->count; ++m) std::memcpy(reg<u32>(warp, in->list[m]), result[m], sizeof result[m]);
  return in + 1;
}
const Inst* store_matrix(Warp& warp, const Inst* in) {
  u8* rows[kLanes];
  if (!gather_warp(warp, in) || !rows_of(warp, in, rows, AccessKind::store)) return nullptr;
  for (u32 m = 0; m < in->count; ++m) {
    const u32* from = reg<u32>(warp, in->list[m]);
    if (in->flags & 1) {
      u16 cells[8][8];
      for (int i = 0; i < kLanes; ++i) {
        cells[2 * (i % 4)][i / 4] = static_cast<u16>(from[i]);
        cells[2 * (i % 4) + 1][i / 4] = static_cast<u16>(from[i] >> 16);
      }
      for (int r = 0; r < 8; ++r) std::memcpy(rows[8 * m + r], cells[r], 16);
    } else {
      for (int r = 0; r < 8; ++r) std::memcpy(rows[8 * m + r], from + 4 * r, 16);
    }
  }
  return in + 1;
}
const Inst* move_matrix(Warp& warp, const Inst* in) {
  if (!gather_warp(warp, in)) return nullptr;
  u16 cells[8][8];
  std::memcpy(cells, reg<u32>(warp, in->a), sizeof cells);
  u32* d = reg<u32>(warp, in->d);
  for (int i = 0; i < kLanes; ++i)
    d[i] = static_cast<u32>(cells[2 * (i % 4)][i / 4]) | static_cast<u32>(cells[2 * (i % 4) + 1][i / 4]) << 16;
  return in + 1;
}

// wmma fragments here are those of the mma tiles that they are made of. One piece is what a register holds: `bytes` an
// element, `count` of them along the fragment's contiguous direction.
struct Piece {
  u32 row, column, along;  // along: 0 a row (columns follow each other), 1 a column
  u32 count;
};

enum Part : u8 { kA, kB, kC };

// Pieces of register r for lane i. flags: 4 for only 8 rows; kind: part; space: elements a register; extra: tiles along
// n (low byte) and m; target: blocks of k.
Piece piece_of(const Inst* in, u32 r, u32 i) {
  const u32 g = i / 4, t = i % 4, halves = in->flags & 4 ? 1 : 2, k_blocks = in->target;
  const u32 sub = in->space;
  if (in->kind == kA) {
    const u32 used = halves * k_blocks, m = r / used % (in->extra >> 8), q = r % used;
    return {16 * m + g + 8 * (q % halves), (q / halves) * 4 * sub + t * sub, 0, sub};
  }
  if (in->kind == kB) {
    const u32 n = r / k_blocks % (in->extra & 255), k = r % k_blocks;
    return {k * 4 * sub + t * sub, 8 * n + g, 1, sub};
  }
  const u32 per_tile = halves * 2 / sub, tile = r / per_tile, q = r % per_tile, n_tiles = in->extra & 255;
  const u32 m = tile / n_tiles, n = tile % n_tiles;
  return sub == 2 ? Piece{16 * m + g + 8 * q, 8 * n + 2 * t, 0, 2}
                  : Piece{16 * m + g + 8 * (q / 2), 8 * n + 2 * t + (q & 1), 0, 1};
}

// a: base address (64 bits generic, or 32 bits of shared memory: guarded flag `backward`), b: leading dimension in
// elements; flags 1: column-major; bytes: of an element; count: registers in the list.
template <bool Store>
const Inst* fragment(Warp& warp, const Inst* in) {
  if (!gather_warp(warp, in)) return nullptr;
  const bool column_major = in->flags & 1, shared = in->flags & 2;
  ++warp.inner_time;
  u64 bases[kLanes], leading[kLanes];  // copied: a result may take the place of either register
  for (u32 i = 0; i < kLanes; ++i) {
    bases[i] = shared ? reg<u32>(warp, in->a)[i] : reg<u64>(warp, in->a)[i];
    leading[i] = reg<u32>(warp, in->b)[i];
  }
  for (u32 r = 0; r < in->count; ++r) {
    for (u32 e = 0; e < in->space; ++e) {
      u64 addresses[kLanes];
      for (u32 i = 0; i < kLanes; ++i) {
        Piece p = piece_of(in, r, i);
        if (p.along)
          p.row += e;
        else
          p.column += e;
        const u64 ld = leading[i];
        const u64 element = column_major ? p.column * ld + p.row : p.row * ld + p.column;
        addresses[i] = bases[i] + static_cast<u64>(in->imm) + element * in->bytes;
        if (addresses[i] % in->bytes) return fault_misaligned(warp, in, addresses[i], in->bytes, i);
        if (shared && addresses[i] + in->bytes > warp.block->shared_bytes)
          return fault_bounds(warp, in, SpaceKind::shared, addresses[i], in->bytes, i);
      }
      const AccessKind kind = Store ? AccessKind::store : AccessKind::load;
      if (warp.observe)
        observe(warp, in, addresses, kFull, in->bytes, shared ? SpaceKind::shared : SpaceKind::global, kind);
      if (shared) {
        for (auto& address : addresses) address += reinterpret_cast<u64>(warp.block->shared);
      } else if (!resolve_lanes(warp, in, addresses, in->bytes, kind)) {
        return nullptr;
      }
      const u32 lane_bytes = in->bytes * in->space;
      u8* words = warp.regs + in->list[r];
      for (u32 i = 0; i < kLanes; ++i) {
        u8* cell = words + i * lane_bytes + e * in->bytes;
        if (Store)
          std::memcpy(reinterpret_cast<u8*>(addresses[i]), cell, in->bytes);
        else
          std::memcpy(cell, reinterpret_cast<const u8*>(addresses[i]), in->bytes);
      }
    }
  }
  return in + 1;
}

}  // namespace

void add_fragment(HandlerTable& table) {
  table["ldmatrix"] = load_matrix;
  table["stmatrix"] = store_matrix;
  table["movmatrix"] = move_matrix;
  table["wmma.load"] = fragment<false>;
  table["wmma.store"] = fragment<true>;
}

}  // namespace tweedie::vgpu
