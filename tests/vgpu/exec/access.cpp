#include "exec/access.h"

namespace tweedie::vgpu {
namespace {

const char* verb(AccessKind kind) {
  return kind == AccessKind::load ? "read" : kind == AccessKind::atomic ? "atomic access" : "write";
}

}  // namespace

u8* resolve_one(Warp& warp, const Inst* in, u64 address, u32 bytes, AccessKind kind, u32 lane) {
  const u64 window = address & kWindowMask, offset = address & ~kWindowMask;
  if (window == kSharedWindow) {
    if (offset + bytes <= warp.block->shared_bytes) return warp.block->shared + offset;
    fault_bounds(warp, in, SpaceKind::shared, offset, bytes, lane);
    return nullptr;
  }
  if (window == kLocalWindow) {
    if (offset + bytes <= warp.local_stride)
      return warp.local_memory + static_cast<u64>(lane) * warp.local_stride + offset;
    fault_bounds(warp, in, SpaceKind::local, offset, bytes, lane);
    return nullptr;
  }
  if (window == kParamWindow) {
    auto& parameters = warp.block->launch->parameters;
    if (offset + bytes <= parameters.size() && kind == AccessKind::load) return parameters.data() + offset;
    fault_bounds(warp, in, SpaceKind::param, offset, bytes, lane);
    return nullptr;
  }
  Allocation* allocation = Memory::instance().find(address);
  if (!allocation || allocation->freed || address + bytes > allocation->end) {
    const char* what = allocation && allocation->freed ? "use after free: " : "";
    std::string place =
        Memory::instance().describe(allocation ? (allocation->freed ? address : allocation->end) : address);
    if (allocation && !allocation->freed)
      place = fmt::format("it begins inside allocation #{} of {} bytes and ends past it", allocation->id,
                          allocation->size());
    fault(warp, in, FaultKind::address, lane,
          fmt::format("{}illegal {} of {} bytes at {:#x}: {}", what, verb(kind), bytes, address, place));
    return nullptr;
  }
  if (allocation->constant && kind != AccessKind::load) {
    fault(warp, in, FaultKind::address, lane,
          fmt::format("write of {} bytes to constant {}", bytes, allocation->label));
    return nullptr;
  }
  return reinterpret_cast<u8*>(address + static_cast<u64>(allocation->delta));
}

bool resolve_lanes(Warp& warp, const Inst* in, u64* addresses, u32 bytes, AccessKind kind) {
  u64 host_of_first = 0;
  const Range* hit = &warp.worker->ranges[in->slot];
  Range found = *hit;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    const u64 address = addresses[i];
    if (address - found.begin < found.size && address + bytes - found.begin <= found.size) {
      addresses[i] = address + static_cast<u64>(found.delta);
    } else {
      u8* host = resolve_one(warp, in, address, bytes, kind, i);
      if (!host) return false;
      addresses[i] = reinterpret_cast<u64>(host);
      const u64 window = address & kWindowMask;
      if (window != kSharedWindow && window != kLocalWindow && window != kParamWindow) {
        Allocation* allocation = Memory::instance().find(address);
        found = {allocation->begin, allocation->size(), allocation->delta, allocation};
      }
    }
    if (rest == warp.mask) host_of_first = addresses[i];
  }
  warp.worker->ranges[in->slot] = found;
  for (u32 i = 0; i < kLanes; ++i)
    if (!(warp.mask >> i & 1)) addresses[i] = host_of_first;
  return true;
}

const Inst* fault_bounds(Warp& warp, const Inst* in, SpaceKind space, u64 address, u32 bytes, u32 lane) {
  std::string text;
  if (space == SpaceKind::shared)
    text = fmt::format("access of {} bytes at shared offset {}: the block has {} bytes of shared memory", bytes,
                       address, warp.block->shared_bytes);
  else if (space == SpaceKind::local)
    text = fmt::format("access of {} bytes at local offset {}: the thread has {} bytes of local memory", bytes, address,
                       warp.local_stride);
  else
    text = fmt::format("access of {} bytes at parameter offset {}: the kernel has {} bytes of parameters, read only",
                       bytes, address, warp.block->launch->parameters.size());
  return fault(warp, in, FaultKind::address, lane, text);
}

const Inst* fault_misaligned(Warp& warp, const Inst* in, u64 address, u32 bytes, u32 lane) {
  return fault(warp, in, FaultKind::misaligned, lane,
               fmt::format("misaligned access of {} bytes at {:#x}", bytes, address));
}

}  // namespace tweedie::vgpu
