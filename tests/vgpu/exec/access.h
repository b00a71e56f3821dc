// The slow half of memory instructions, compiled once: finding allocations, faults, and the eyes of the checks.
#pragma once
#include "exec/machine.h"

namespace tweedie::vgpu {

enum class SpaceKind : u8 { global, shared, local, param };
enum class AccessKind : u8 { load, store, atomic, async_store };

// Turns the active lanes' generic addresses into host addresses in place, and teaches the instruction's range cache.
// The other lanes get the first active lane's. False after a fault (then warp.stop is set).
bool resolve_lanes(Warp& warp, const Inst* in, u64* addresses, u32 bytes, AccessKind kind);
// The host address of one lane's generic address; null after a fault.
u8* resolve_one(Warp& warp, const Inst* in, u64 address, u32 bytes, AccessKind kind, u32 lane);
const Inst* fault_bounds(Warp& warp, const Inst* in, SpaceKind space, u64 address, u32 bytes, u32 lane);
const Inst* fault_misaligned(Warp& warp, const Inst* in, u64 address, u32 bytes, u32 lane);

// Called before the access, with generic or window-relative addresses of the lanes in `mask`.
void observe(Warp& warp, const Inst* in, const u64* addresses, u32 mask, u32 bytes, SpaceKind space, AccessKind kind);
// Called after a strong load or an atomic that was observed: what it read may have been released meanwhile.
void observe_acquired(Warp& warp);

}  // namespace tweedie::vgpu
