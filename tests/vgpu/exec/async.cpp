// cp.async and mbarrier. Copied data stays aside until the matching wait, so that a missing wait reads old contents.
#include <cstring>

#include "exec/access.h"
#include "exec/handlers.h"
#include "exec/profile.h"

namespace tweedie::vgpu {
namespace {

// a: shared offset (imm added), b: global address (imm2 in `extra` as a signed 32-bit offset); bytes: copied;
// c: how many of them come from memory, the rest being zeros (count 2), flags 2: c is an "ignore" predicate.
const Inst* copy(Warp& warp, const Inst* in) {
  const u32* to = reg<u32>(warp, in->a);
  const u64* from = reg<u64>(warp, in->b);
  u64 addresses[kLanes] = {}, sources[kLanes] = {};
  u32 sizes[kLanes] = {}, reading = 0;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    addresses[i] = to[i] + static_cast<u32>(in->imm);
    sources[i] = from[i] + static_cast<u64>(static_cast<i64>(static_cast<i32>(in->extra)));
    sizes[i] = in->bytes;
    if (in->count == 2)
      sizes[i] = in->flags & 2 ? (predicate(warp, in->c) >> i & 1 ? 0 : in->bytes)
                               : std::min<u32>(reg<u32>(warp, in->c)[i], in->bytes);
    if (addresses[i] & (in->bytes - 1)) return fault_misaligned(warp, in, addresses[i], in->bytes, i);
    if (addresses[i] + in->bytes > warp.block->shared_bytes)
      return fault_bounds(warp, in, SpaceKind::shared, addresses[i], in->bytes, i);
    if (sizes[i] && (sources[i] & (in->bytes - 1))) return fault_misaligned(warp, in, sources[i], in->bytes, i);
    if (sizes[i]) reading |= 1u << i;
  }
  u64 hosts[kLanes];
  for (u32 rest = reading; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    const Range& range = warp.worker->ranges[in->slot];
    if (sources[i] - range.begin < range.size && sources[i] + sizes[i] - range.begin <= range.size) {
      hosts[i] = sources[i] + static_cast<u64>(range.delta);
    } else {
      u8* host = resolve_one(warp, in, sources[i], sizes[i], AccessKind::load, i);
      if (!host) return nullptr;
      hosts[i] = reinterpret_cast<u64>(host);
    }
  }
  u32 whole = 0;
  for_active(warp, [&](u32 i) { whole |= static_cast<u32>(sizes[i] == in->bytes) << i; });
  if (warp.observe && whole) observe(warp, in, sources, whole, in->bytes, SpaceKind::global, AccessKind::load);
  if (warp.worker->counters)
    count_access(*warp.worker->counters, static_cast<u32>(in - warp.block->launch->program->code.data()), addresses,
                 warp.mask, in->bytes, SpaceKind::shared, true);
  for_active(warp, [&](u32 i) {
    CopyGroup::Piece& piece = warp.open_group.pieces.emplace_back();
    piece.to = static_cast<u32>(addresses[i]);
    piece.bytes = in->bytes;
    piece.lane = i;
    std::memset(piece.data, 0, sizeof piece.data);
    if (reading >> i & 1) std::memcpy(piece.data, reinterpret_cast<const u8*>(hosts[i]), sizes[i]);
  });
  warp.open_group.source = in;
  return in + 1;
}

void land(Warp& warp, const Inst* in, CopyGroup& group) {
  std::size_t kept = 0;
  for (auto& piece : group.pieces) {
    if (!(warp.mask >> piece.lane & 1)) {
      group.pieces[kept++] = piece;
      continue;
    }
    std::memcpy(warp.block->shared + piece.to, piece.data, piece.bytes);
    if (warp.observe) {
      u64 addresses[kLanes] = {};
      addresses[piece.lane] = piece.to;
      observe(warp, group.source ? group.source : in, addresses, 1u << piece.lane, piece.bytes, SpaceKind::shared,
              AccessKind::async_store);
    }
  }
  group.pieces.resize(kept);
}

const Inst* commit(Warp& warp, const Inst* in) {
  warp.groups.push_back(std::move(warp.open_group));
  warp.open_group = {};
  return in + 1;
}
const Inst* wait_group(Warp& warp, const Inst* in) {  // imm: newest groups that may stay open; -1: all must land
  const std::size_t keep = in->imm < 0 ? 0 : static_cast<std::size_t>(in->imm);
  std::size_t done = warp.groups.size() > keep ? warp.groups.size() - keep : 0;
  for (std::size_t g = 0; g < done; ++g) land(warp, in, warp.groups[g]);
  std::size_t empty = 0;
  while (empty < done && warp.groups[empty].pieces.empty()) ++empty;
  warp.groups.erase(warp.groups.begin(), warp.groups.begin() + static_cast<std::ptrdiff_t>(empty));
  if (in->imm < 0) land(warp, in, warp.open_group);
  return in + 1;
}

// An mbarrier's 64 bits here: pending arrivals (20), expected arrivals (20), completed phases (24).
constexpr u64 kField = (1u << 20) - 1;
u64 pack(u64 pending, u64 expected, u64 phase) {
  return pending | expected << 20 | phase << 40;
}
u64 arrive(u64 state, u64 count, bool drop) {
  u64 pending = state & kField, expected = state >> 20 & kField, phase = state >> 40;
  if (drop) expected -= count;
  pending = pending > count ? pending - count : 0;
  if (pending == 0) {
    pending = expected;
    phase = (phase + 1) & 0xffffff;
  }
  return pack(pending, expected, phase);
}

enum MbarrierKind : u8 {
  kInit,
  kInvalidate,
  kArrive,
  kArriveDrop,
  kTest,
  kTestParity,
  kCopyArrive,
  kCopyArriveNoIncrement,
  kPending
};

u64* barrier_at(Warp& warp, const Inst* in, u32 lane) {
  const u32 address = reg<u32>(warp, in->a)[lane] + static_cast<u32>(in->imm);
  if (address % 8) return fault_misaligned(warp, in, address, 8, lane), nullptr;
  if (static_cast<u64>(address) + 8 > warp.block->shared_bytes)
    return fault_bounds(warp, in, SpaceKind::shared, address, 8, lane), nullptr;
  if (warp.observe) {
    u64 addresses[kLanes] = {};
    addresses[lane] = address;
    observe(warp, in, addresses, 1u << lane, 8, SpaceKind::shared,
            in->kind == kInit ? AccessKind::store : AccessKind::atomic);
  }
  return reinterpret_cast<u64*>(warp.block->shared + address);
}

const Inst* mbarrier(Warp& warp, const Inst* in) {
  if (in->kind == kCopyArrive || in->kind == kCopyArriveNoIncrement) {
    for (auto& group : warp.groups) land(warp, in, group);
    land(warp, in, warp.open_group);
  }
  u32 truth = 0;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    if (in->kind == kPending) {  // of a state in a register
      reg<u32>(warp, in->d)[i] = static_cast<u32>(reg<u64>(warp, in->a)[i] & kField);
      continue;
    }
    u64* state = barrier_at(warp, in, i);
    if (!state) return nullptr;
    const u32 count = in->count > 1 ? reg<u32>(warp, in->b)[i] : 1;
    switch (in->kind) {
      case kInit:
        *state = pack(count, count, 0);
        break;
      case kInvalidate:
        *state = ~0ull;
        break;
      case kArrive:
      case kArriveDrop:
        if (in->d != kFull) reg<u64>(warp, in->d)[i] = *state;
        *state = arrive(*state, count, in->kind == kArriveDrop);
        break;
      case kTest:
        truth |= static_cast<u32>((*state >> 40) != (reg<u64>(warp, in->b)[i] >> 40)) << i;
        break;
      case kTestParity:
        truth |= static_cast<u32>((*state >> 40 & 1) != (reg<u32>(warp, in->b)[i] & 1)) << i;
        break;
      case kCopyArrive:
        break;  // it raises the pending count, and the landed copy lowers it again
      case kCopyArriveNoIncrement:
        *state = arrive(*state, 1, false);
        break;
    }
  }
  if (in->kind == kTest || in->kind == kTestParity) {
    u32& p = predicate(warp, in->d);
    p = (p & ~warp.mask) | (truth & warp.mask);
    if (truth != warp.mask)
      warp.budget = 1;  // it will spin: let others run
    else
      warp.time = std::max(warp.time, warp.block->time);
  }
  return in + 1;
}

}  // namespace

void add_async(HandlerTable& table) {
  table["cp.async"] = copy;
  table["cp.async.commit"] = commit;
  table["cp.async.wait"] = wait_group;
  table["mbarrier"] = mbarrier;
}

}  // namespace tweedie::vgpu
