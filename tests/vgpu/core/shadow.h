// What racecheck remembers of a byte: the last write and the last read, each with who and when. "When" is the clock of
// the block (global memory) or warp (shared memory), which every synchronisation moves forward; an access is ordered
// after one that carries an earlier time.
#pragma once
#include "core/types.h"

namespace tweedie::vgpu {

struct RaceCell {
  u32 launch = 0;              // cells of an earlier launch are blank
  u32 writer = 0, reader = 0;  // thread numbers plus one
  u32 write_time = 0, read_time = 0;
  u32 write_inner = 0, read_inner = 0;  // global memory: the warp's clock, which orders the threads of a block
  u32 write_lane = 0, read_lane = 0;    // the clock of the warp's lanes; ~0 for readers of several warps
  u8 atomic_write = 0, atomic_read = 0, many_readers = 0;
};

}  // namespace tweedie::vgpu
