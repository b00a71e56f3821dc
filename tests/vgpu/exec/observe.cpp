// initcheck, racecheck and the profile's view of memory accesses.
#include <algorithm>
#include <cstring>

#include "core/settings.h"
#include "exec/access.h"
#include "exec/handlers.h"
#include "exec/profile.h"

namespace tweedie::vgpu {
namespace {

struct Access {
  u32 thread, time, inner, lane, launch;
  bool write, atomic;
};

// Whether the access conflicts with what the cell remembers; then the cell learns of it. `unit` is the number of
// threads among which the inner clock counts: a block in global memory, a warp in shared memory.
const char* conflict(RaceCell& cell, const Access& now, u32 unit) {
  if (cell.launch != now.launch) {
    cell = {};
    cell.launch = now.launch;
  }
  auto together = [&](u32 thread, u32 count) { return (thread - 1) / count == (now.thread - 1) / count; };
  auto ordered = [&](u32 thread, u32 time, u32 inner, u32 lane) {
    if (thread == now.thread || time < now.time) return true;
    return (together(thread, kLanes) && lane < now.lane) || (together(thread, unit) && inner < now.inner);
  };
  const char* found = nullptr;
  if (cell.writer && !(cell.atomic_write && now.atomic) &&
      !ordered(cell.writer, cell.write_time, cell.write_inner, cell.write_lane))
    found = now.write ? "two threads write" : "one thread reads what another wrote";
  const bool after_reads = cell.many_readers
                               ? cell.read_time < now.time || cell.read_inner < now.inner || cell.read_lane < now.lane
                               : !cell.reader || ordered(cell.reader, cell.read_time, cell.read_inner, cell.read_lane);
  if (now.write && !found && !after_reads && !(now.atomic && (cell.atomic_write || cell.atomic_read)))
    found = "one thread writes what another read";
  if (now.write) {
    cell.writer = now.thread;
    cell.write_time = now.time;
    cell.write_inner = now.inner;
    cell.write_lane = now.lane;
    cell.atomic_write = now.atomic;
    if (!now.atomic) cell.reader = 0, cell.many_readers = 0;
  } else if (after_reads) {  // whatever comes after this read comes after the earlier ones
    cell.reader = now.thread;
    cell.read_time = now.time;
    cell.read_inner = now.inner;
    cell.read_lane = now.lane;
    cell.atomic_read = now.atomic;
    cell.many_readers = 0;
  } else {
    const bool one_warp = cell.read_lane != kFull && together(cell.reader, kLanes);
    cell.read_time = std::max(cell.read_time, now.time);
    cell.read_inner = std::max(cell.read_inner, now.inner);
    cell.read_lane = one_warp ? std::max(cell.read_lane, now.lane) : kFull;
    cell.atomic_read &= now.atomic;
    cell.many_readers = 1;
  }
  return found;
}

const char* name(SpaceKind space) {
  return space == SpaceKind::shared ? "shared" : "global";
}

void check_race(Warp& warp, const Inst* in, RaceCell* cell, u64 address, u32 bytes, SpaceKind space, AccessKind kind,
                bool strong, u32 lane) {
  Block& block = *warp.block;
  const bool shared = space == SpaceKind::shared;
  Access now;
  const u32 in_block = warp.index * kLanes + lane;
  now.thread = shared ? in_block + 1 : static_cast<u32>(block.number) * block.launch->warps * kLanes + in_block + 1;
  now.launch = block.launch->number;
  now.write = kind != AccessKind::load;
  now.atomic = strong;
  // Global memory: blocks are ordered by their atomics, the warps of one block by its barriers. Shared memory: barriers
  // order warps. In both, the lanes of a warp are ordered by what it does as a whole.
  now.time = shared ? warp.time : block.time;
  now.inner = shared ? 0 : warp.time;
  now.lane = warp.inner_time;
  const u32 unit = shared ? kLanes : block.launch->warps * kLanes;
  for (u32 k = 0; k < bytes; ++k) {
    if (const char* what = conflict(cell[k], now, unit)) {
      finding(warp, in, "racecheck", lane,
              fmt::format("{} {} memory with no synchronisation between, at {:#x}", what, name(space), address + k));
      return;
    }
  }
}

// Where the first `unit` bytes begin of which nothing wrote any; `bytes` for none. A load's elements are such units: a
// struct that is copied by words has its padding in them.
u32 first_hole(const u8* written, u32 bytes, u32 unit) {
  if (!std::memchr(written, 0, bytes)) return bytes;
  for (u32 at = 0; at < bytes; at += unit)
    if (!std::memchr(written + at, 1, unit)) return at;
  return bytes;
}

bool is_strong(const Inst* in, AccessKind kind, SpaceKind space) {
  return kind == AccessKind::atomic || (in->ordering & kStrong) ||
         (in->ordering & kVolatile && space == SpaceKind::global);
}

// Release and acquire through a word of shared memory, by the operations themselves or by fences around relaxed ones.
void order_warps(Warp& warp, const Inst* in, u32 address, AccessKind kind) {
  u32& released = warp.block->object_times[address];
  if (kind != AccessKind::store) {
    if (in->ordering & kAcquire) {
      warp.time = std::max(warp.time, released);
      ++warp.inner_time;
    } else {
      warp.seen_time = std::max(warp.seen_time, released);
    }
  }
  if (kind != AccessKind::load)
    released = std::max(released, in->ordering & kRelease ? warp.time + 1 : warp.fence_time);
}

// Leniently, any strong operation on a word of global memory orders its block after all that wrote the word by one
// before. Blocks run at the same time: what a load or an atomic read is known afterwards.
struct Releases {
  std::mutex mutex;
  u32 launch = 0;
  std::map<u64, u32> times;
};
Releases& releases() {
  static auto& one = *new Releases;
  return one;
}
void order_blocks(Warp& warp, const u64* addresses, u32 mask, AccessKind kind) {
  Releases& all = releases();
  Block& block = *warp.block;
  const std::lock_guard lock(all.mutex);
  if (all.launch != block.launch->number) {
    all.launch = block.launch->number;
    all.times.clear();
  }
  warp.acquiring.clear();
  for_lanes(mask, [&](u32 i) {
    if ((addresses[i] & kWindowMask) == kSharedWindow) return;
    if (kind != AccessKind::store) warp.acquiring.push_back(addresses[i]);
    if (kind == AccessKind::load) return;
    u32& time = all.times[addresses[i]];
    block.time = time = std::max(block.time, time) + 1;
  });
}

// The lanes that store what another lane of the same instruction stores at the same place: one write, as it were.
u32 repetitions(Warp& warp, const Inst* in, const u64* addresses, u32 mask) {
  if (in->control == 0) return 0;  // the width of its registers is not known
  const u32 width = in->control / 8;
  u32 repeated = 0, last = kLanes;
  bool rising = true;
  for_lanes(mask, [&](u32 i) {
    rising = rising && (last == kLanes || addresses[i] > addresses[last]);
    last = i;
  });
  if (rising) return 0;
  auto same = [&](u32 i, u32 j) {
    if (addresses[i] != addresses[j]) return false;
    for (u32 k = 0; k < in->count; ++k) {
      const u8* value = warp.regs + (in->count > 1 ? in->list[k] : in->d);
      if (std::memcmp(value + i * width, value + j * width, width) != 0) return false;
    }
    return true;
  };
  for_lanes(mask, [&](u32 i) {
    for (u32 j = 0; j < i && !(repeated >> i & 1); ++j)
      if ((mask >> j & 1) && same(i, j)) repeated |= 1u << i;
  });
  return repeated;
}

}  // namespace

void observe_acquired(Warp& warp) {
  if (warp.acquiring.empty()) return;
  Releases& all = releases();
  const std::lock_guard lock(all.mutex);
  for (const u64 address : warp.acquiring)
    if (const auto found = all.times.find(address); found != all.times.end())
      warp.block->time = std::max(warp.block->time, found->second);
  warp.acquiring.clear();
}

void observe(Warp& warp, const Inst* in, const u64* addresses, u32 mask, u32 bytes, SpaceKind space, AccessKind kind) {
  if (warp.worker->counters && kind != AccessKind::async_store) {
    const u32 number = static_cast<u32>(in - warp.block->launch->program->code.data());
    count_access(*warp.worker->counters, number, addresses, mask, bytes, space, kind != AccessKind::load);
  }
  const Settings& s = settings();
  if (space == SpaceKind::local || (!s.initialised && !s.race)) return;
  Block& block = *warp.block;
  if (space == SpaceKind::global && is_strong(in, kind, space)) order_blocks(warp, addresses, mask, kind);
  const u32 repeated = s.race && kind == AccessKind::store ? repetitions(warp, in, addresses, mask) : 0;
  for (u32 rest = mask; rest; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    u64 address = addresses[lane];
    SpaceKind lane_space = space;
    if (space == SpaceKind::global) {
      const u64 window = address & kWindowMask;
      if (window == kLocalWindow || window == kParamWindow) continue;
      if (window == kSharedWindow) {
        lane_space = SpaceKind::shared;
        address &= ~kWindowMask;
      }
    }
    u8* written = nullptr;
    RaceCell* cells = nullptr;
    if (lane_space == SpaceKind::shared) {
      if (address + bytes > block.shared_bytes) continue;
      if (s.initialised) written = block.shared_written.data() + address;
      if (s.race) cells = block.shared_cells.data() + address;
    } else {
      Allocation* allocation = Memory::instance().find(address);
      if (!allocation || allocation->freed || address + bytes > allocation->end || allocation->constant) continue;
      if (s.initialised) written = Memory::instance().written_shadow(*allocation) + (address - allocation->begin);
      if (s.race) cells = Memory::instance().race_shadow(*allocation) + (address - allocation->begin);
    }
    if (written) {
      if (kind == AccessKind::load || kind == AccessKind::atomic) {
        const u32 unit = kind == AccessKind::load && in->control ? in->bytes : 1;
        if (const u32 hole = first_hole(written, bytes, unit); hole < bytes)
          finding(warp, in, "initcheck", lane,
                  fmt::format("read of {} memory that nothing wrote, at {:#x}", name(lane_space), address + hole));
      }
      if (kind != AccessKind::load) std::memset(written, 1, bytes);
    }
    if (!cells || (repeated >> lane & 1)) continue;
    const bool strong = is_strong(in, kind, lane_space);
    if (strong && lane_space == SpaceKind::shared) order_warps(warp, in, static_cast<u32>(address), kind);
    check_race(warp, in, cells, address, bytes, lane_space, kind, strong, lane);
  }
}

}  // namespace tweedie::vgpu
