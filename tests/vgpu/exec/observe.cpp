// initcheck, racecheck and the profile's view of memory accesses.
#include <algorithm>
#include <cstring>

#include "core/settings.h"
#include "exec/access.h"
#include "exec/profile.h"

namespace tweedie::vgpu {
namespace {

struct Access {
  u32 thread, time, inner, launch;
  bool write, atomic, global;
};

// Whether the access conflicts with what the cell remembers; then the cell learns of it. `unit` is the number of
// threads among which the inner clock counts (a warp in shared memory, a block in global memory).
const char* conflict(RaceCell& cell, const Access& now, u32 unit) {
  if (cell.launch != now.launch) {
    cell = {};
    cell.launch = now.launch;
  }
  auto ordered = [&](u32 thread, u32 time, u32 inner) {
    if (thread == now.thread) return true;
    const bool same_unit = (thread - 1) / unit == (now.thread - 1) / unit;
    if (!same_unit) return time < now.time;
    return inner < now.inner || (now.global && time < now.time);
  };
  const char* found = nullptr;
  if (cell.writer && !ordered(cell.writer, cell.write_time, cell.write_inner) && !(cell.atomic_write && now.atomic))
    found = now.write ? "two threads write" : "one thread reads what another wrote";
  if (now.write && !found && cell.reader && !(now.atomic && cell.atomic_write)) {
    if (cell.many_readers ? cell.read_time >= now.time && cell.read_inner >= now.inner
                          : !ordered(cell.reader, cell.read_time, cell.read_inner))
      found = "one thread writes what another read";
  }
  if (now.write) {
    cell.writer = now.thread;
    cell.write_time = now.time;
    cell.write_inner = now.inner;
    cell.atomic_write = now.atomic;
    if (!now.atomic) cell.reader = 0, cell.many_readers = 0;
  } else {
    if (cell.reader && cell.reader != now.thread && cell.read_time == now.time && cell.read_inner == now.inner)
      cell.many_readers = 1;
    else
      cell.many_readers = 0;
    cell.reader = now.thread;
    cell.read_time = now.time;
    cell.read_inner = now.inner;
  }
  return found;
}

const char* name(SpaceKind space) {
  return space == SpaceKind::shared ? "shared" : "global";
}

void check_race(Warp& warp, const Inst* in, RaceCell* cell, u64 address, u32 bytes, SpaceKind space, AccessKind kind,
                u32 lane) {
  Block& block = *warp.block;
  const bool shared = space == SpaceKind::shared;
  Access now;
  const u32 in_block = warp.index * kLanes + lane;
  now.thread = shared ? in_block + 1 : static_cast<u32>(block.number) * block.launch->warps * kLanes + in_block + 1;
  now.launch = block.launch->number;
  now.write = kind != AccessKind::load;
  now.atomic = kind == AccessKind::atomic;
  now.global = !shared;
  // Global memory: blocks are ordered by their atomics, the threads of one block by its barriers.
  now.time = shared ? warp.time : block.time;
  now.inner = shared ? warp.inner_time : warp.time;
  const u32 unit = shared ? kLanes : block.launch->warps * kLanes;
  for (u32 k = 0; k < bytes; ++k) {
    if (const char* what = conflict(cell[k], now, unit)) {
      finding(warp, in, "racecheck", lane,
              fmt::format("{} {} memory with no synchronisation between, at {:#x}", what, name(space), address + k));
      return;
    }
  }
}

}  // namespace

void observe(Warp& warp, const Inst* in, const u64* addresses, u32 mask, u32 bytes, SpaceKind space, AccessKind kind) {
  if (warp.worker->counters && kind != AccessKind::async_store) {
    const u32 number = static_cast<u32>(in - warp.block->launch->program->code.data());
    count_access(*warp.worker->counters, number, addresses, mask, bytes, space, kind != AccessKind::load);
  }
  const Settings& s = settings();
  if (space == SpaceKind::local || (!s.initialised && !s.race)) return;
  Block& block = *warp.block;
  if (space == SpaceKind::global && kind == AccessKind::atomic) {
    // Leniently, any atomic orders this block after all that touched the word's granule by atomics before.
    static std::mutex mutex;
    static std::map<u64, u32> times;
    const std::lock_guard lock(mutex);
    for (u32 rest = mask; rest; rest &= rest - 1) {
      u32& time = times[addresses[__builtin_ctz(rest)]];
      block.time = std::max(block.time, time) + 1;
      time = block.time;
    }
  }
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
        if (const void* hole = std::memchr(written, 0, bytes))
          finding(warp, in, "initcheck", lane,
                  fmt::format("read of {} memory that nothing wrote, at {:#x}", name(lane_space),
                              address + static_cast<u64>(static_cast<const u8*>(hole) - written)));
      }
      if (kind != AccessKind::load) std::memset(written, 1, bytes);
    }
    if (cells) check_race(warp, in, cells, address, bytes, lane_space, kind, lane);
  }
}

}  // namespace tweedie::vgpu
