// cp.async and mbarrier. Copied data stays aside until the matching wait, so that a missing wait reads old contents.
#include <algorithm>
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

// An mbarrier's 64 bits here: pending arrivals (20), expected arrivals (20), bytes still to come (21), completed
// phases.
constexpr u64 kField = (1u << 20) - 1, kBytes = (1u << 21) - 1;
struct State {
  u64 pending, expected, bytes, phase;
  explicit State(u64 word)
      : pending(word & kField), expected(word >> 20 & kField), bytes(word >> 40 & kBytes), phase(word >> 61) {}
  State(u64 count, u64 at) : pending(count), expected(count), bytes(0), phase(at) {}
  u64 word() {
    if (pending == 0 && bytes == 0) {
      pending = expected;
      ++phase;
    }
    return pending | expected << 20 | (bytes & kBytes) << 40 | phase << 61;
  }
};
u64 arrive(u64 word, u64 count, bool drop) {
  State state(word);
  if (drop) state.expected -= count;
  state.pending = state.pending > count ? state.pending - count : 0;
  return state.word();
}
u64 add_bytes(u64 word, u64 bytes) {  // modulo 2^21: taken away as its complement
  State state(word);
  state.bytes = (state.bytes + bytes) & kBytes;
  return state.word();
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
  kPending,
  kExpectBytes,
  kCompleteBytes
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

// f(addresses of 32 pieces of 16 bytes, mask of those that exist), over a range.
template <class F>
void in_pieces(u64 begin, u64 bytes, F f) {
  for (u64 done = 0; done < bytes; done += 16 * kLanes) {
    u64 addresses[kLanes];
    u32 mask = 0;
    for (u32 i = 0; i < kLanes; ++i) {
      addresses[i] = begin + done + 16 * i;
      mask |= static_cast<u32>(done + 16 * i < bytes) << i;
    }
    f(addresses, mask);
  }
}

// The copies that were to complete at this barrier. They land as late as a wait allows.
void land_bulk(Block& block, u32 barrier) {
  auto& copies = block.bulk;
  for (std::size_t k = 0; k < copies.size();) {
    if (copies[k].barrier != barrier) {
      ++k;
      continue;
    }
    const BulkCopy copy = std::move(copies[k]);
    copies.erase(copies.begin() + static_cast<std::ptrdiff_t>(k));
    std::memcpy(block.shared + copy.to, copy.data.data(), copy.data.size());
    if (copy.issuer->observe)
      in_pieces(copy.to, copy.data.size(), [&](const u64* addresses, u32 mask) {
        observe(*copy.issuer, copy.source, addresses, mask, 16, SpaceKind::shared, AccessKind::async_store);
      });
    u32& time = block.object_times[barrier];
    time = std::max(time, copy.issuer->time + 1);
    u64 state;
    std::memcpy(&state, block.shared + barrier, 8);
    state = add_bytes(state, (kBytes + 1) - copy.data.size());
    std::memcpy(block.shared + barrier, &state, 8);
  }
}

// a: shared offset, b: global address (+ imm), c: bytes; list: the barrier's register and offset, the shared offset.
template <bool Load>
const Inst* bulk_copy(Warp& warp, const Inst* in) {
  Block& block = *warp.block;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    const u32 shared = reg<u32>(warp, in->a)[i] + in->list[2], bytes = reg<u32>(warp, in->c)[i];
    const u64 global = reg<u64>(warp, in->b)[i] + static_cast<u64>(in->imm);
    if (bytes % 16)
      return fault(warp, in, FaultKind::misaligned, i, fmt::format("a bulk copy of {} bytes: not whole 16s", bytes));
    if (shared % 16) return fault_misaligned(warp, in, shared, 16, i);
    if (global % 16) return fault_misaligned(warp, in, global, 16, i);
    if (static_cast<u64>(shared) + bytes > block.shared_bytes)
      return fault_bounds(warp, in, SpaceKind::shared, shared, bytes, i);
    if (bytes == 0) continue;
    u8* host = resolve_one(warp, in, global, bytes, Load ? AccessKind::load : AccessKind::store, i);
    if (!host) return nullptr;
    if (warp.observe)
      in_pieces(global, bytes, [&](const u64* addresses, u32 mask) {
        observe(warp, in, addresses, mask, 16, SpaceKind::global, Load ? AccessKind::load : AccessKind::store);
      });
    if (!Load) {
      if (warp.observe)
        in_pieces(shared, bytes, [&](const u64* addresses, u32 mask) {
          observe(warp, in, addresses, mask, 16, SpaceKind::shared, AccessKind::load);
        });
      std::memcpy(host, block.shared + shared, bytes);
      continue;
    }
    const u32 barrier = reg<u32>(warp, in->list[0])[i] + in->list[1];
    if (barrier % 8 || static_cast<u64>(barrier) + 8 > block.shared_bytes)
      return fault_bounds(warp, in, SpaceKind::shared, barrier, 8, i);
    block.bulk.push_back({barrier, shared, std::vector<u8>(host, host + bytes), &warp, in});
  }
  return in + 1;
}

const Inst* mbarrier(Warp& warp, const Inst* in) {
  if (in->kind == kCopyArrive || in->kind == kCopyArriveNoIncrement) {
    for (auto& group : warp.groups) land(warp, in, group);
    land(warp, in, warp.open_group);
  }
  Block& block = *warp.block;
  u32 truth = 0, time = 0;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    if (in->kind == kPending) {  // of a state in a register
      reg<u32>(warp, in->d)[i] = static_cast<u32>(reg<u64>(warp, in->a)[i] & kField);
      continue;
    }
    u64* state = barrier_at(warp, in, i);
    if (!state) return nullptr;
    const u32 address = reg<u32>(warp, in->a)[i] + static_cast<u32>(in->imm);
    const u32 count = in->count > 1 ? reg<u32>(warp, in->b)[i] : 1;
    if (in->kind == kTest || in->kind == kTestParity) {
      land_bulk(block, address);
      time = std::max(time, block.object_times[address]);
    } else if (in->kind != kInit) {
      block.object_times[address] = std::max(block.object_times[address], warp.time + 1);
    }
    switch (in->kind) {
      case kInit:
        *state = State(count, 0).word();
        break;
      case kInvalidate:
        *state = ~0ull;
        break;
      case kArrive:
      case kArriveDrop:
        if (in->flags) *state = add_bytes(*state, count);
        if (in->d != kFull) reg<u64>(warp, in->d)[i] = *state;
        *state = arrive(*state, in->flags ? 1 : count, in->kind == kArriveDrop);
        break;
      case kTest:
        truth |= static_cast<u32>(State(*state).phase != State(reg<u64>(warp, in->b)[i]).phase) << i;
        break;
      case kTestParity:
        truth |= static_cast<u32>((State(*state).phase & 1) != (reg<u32>(warp, in->b)[i] & 1)) << i;
        break;
      case kCopyArrive:
        break;  // it raises the pending count, and the landed copy lowers it again
      case kCopyArriveNoIncrement:
        *state = arrive(*state, 1, false);
        break;
      case kExpectBytes:
        *state = add_bytes(*state, reg<u32>(warp, in->b)[i]);
        break;
      case kCompleteBytes:
        *state = add_bytes(*state, (kBytes + 1) - reg<u32>(warp, in->b)[i]);
        break;
    }
  }
  if (in->kind == kTest || in->kind == kTestParity) {
    u32& p = predicate(warp, in->d);
    p = (p & ~warp.mask) | (truth & warp.mask);
    if (truth != warp.mask) warp.budget = 1;  // it will spin: let others run
    if (truth) {
      warp.time = std::max(warp.time, time);
      ++warp.inner_time;
    }
  }
  return in + 1;
}

}  // namespace

void add_async(HandlerTable& table) {
  table["cp.async"] = copy;
  table["cp.async.commit"] = commit;
  table["cp.async.wait"] = wait_group;
  table["bulk.load"] = bulk_copy<true>;
  table["bulk.store"] = bulk_copy<false>;
  table["mbarrier"] = mbarrier;
}

}  // namespace tweedie::vgpu
