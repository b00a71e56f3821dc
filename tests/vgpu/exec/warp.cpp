// Exchange between the lanes of a warp: shuffles, votes, matches and reductions. Each waits until every live lane of
// its member mask has come to it.
#include <cstring>

#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

bool arrived(Warp& warp, const Inst* in, u32 members) {
  if (!gather_members(warp, in, reg<u32>(warp, members), Meeting::exchange)) return false;
  ++warp.inner_time;
  return true;
}

void set_predicate(Warp& warp, u32 offset, u32 bits) {
  if (offset == kFull) return;
  u32& p = predicate(warp, offset);
  p = (p & ~warp.mask) | (bits & warp.mask);
}

enum ShuffleMode : u8 { kUp, kDown, kButterfly, kIndex };

const Inst* shuffle(Warp& warp, const Inst* in) {
  if (!arrived(warp, in, in->list[0])) return nullptr;
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  u32 result[kLanes], valid = 0, unread = 0;
  for_active(warp, [&](u32 i) {
    const u32 value = b[i] & 31, clamp = c[i] & 31, segment = c[i] >> 8 & 31;
    const u32 top = (i & segment) | (clamp & ~segment), bottom = i & segment;
    i32 j = 0;
    bool inside = false;
    switch (in->flags) {
      case kUp:
        j = static_cast<i32>(i) - static_cast<i32>(value), inside = j >= static_cast<i32>(top);
        break;
      case kDown:
        j = static_cast<i32>(i + value), inside = j <= static_cast<i32>(top);
        break;
      case kButterfly:
        j = static_cast<i32>(i ^ value), inside = j <= static_cast<i32>(top);
        break;
      default:
        j = static_cast<i32>(bottom | (value & ~segment)), inside = j <= static_cast<i32>(top);
        break;
    }
    if (!inside) j = static_cast<i32>(i);
    const bool takes_part = warp.mask >> j & 1;
    if (!takes_part) unread |= 1u << i;
    result[i] = takes_part ? a[j] : kFull;
    valid |= static_cast<u32>(inside) << i;
  });
  if (unread && warp.observe)
    finding(warp, in, "synccheck", __builtin_ctz(unread), "a shuffle reads a lane that takes no part in it");
  u32* d = reg<u32>(warp, in->d);
  if (in->d != kFull) for_active(warp, [&](u32 i) { d[i] = result[i]; });
  set_predicate(warp, in->extra, valid);
  return in + 1;
}

enum VoteMode : u8 { kAll, kAny, kUni, kBallot };

const Inst* vote(Warp& warp, const Inst* in) {  // kind: mode; flags: 1 for a negated source
  if (!arrived(warp, in, in->list[0])) return nullptr;
  const u32 p = predicate(warp, in->a);
  const u32 bits = in->flags ? ~p : p;
  const u32* members = reg<u32>(warp, in->list[0]);
  u32 truth = 0;
  for_active(warp, [&](u32 i) {
    const u32 lanes = members[i] & warp.mask, holds = bits & lanes;
    if (in->kind == kBallot) reg<u32>(warp, in->d)[i] = holds;
    const bool yes = in->kind == kAll ? holds == lanes : in->kind == kAny ? holds != 0 : holds == 0 || holds == lanes;
    truth |= static_cast<u32>(yes) << i;
  });
  if (in->kind != kBallot) set_predicate(warp, in->d, truth);
  return in + 1;
}

template <class T, bool All>
const Inst* match(Warp& warp, const Inst* in) {
  if (!arrived(warp, in, in->list[0])) return nullptr;
  T a[kLanes];
  std::memcpy(a, reg<T>(warp, in->a), sizeof a);
  const u32* members = reg<u32>(warp, in->list[0]);
  u32 truth = 0;
  u32 result[kLanes] = {};
  for_active(warp, [&](u32 i) {
    const u32 lanes = members[i] & warp.mask;
    u32 same = 0;
    for (u32 rest = lanes; rest; rest &= rest - 1)
      if (a[__builtin_ctz(rest)] == a[i]) same |= rest & -rest;
    result[i] = All ? (same == lanes ? lanes : 0) : same;
    truth |= static_cast<u32>(same == lanes) << i;
  });
  if (in->d != kFull) for_active(warp, [&](u32 i) { reg<u32>(warp, in->d)[i] = result[i]; });
  if (All) set_predicate(warp, in->extra, truth);
  return in + 1;
}

enum ReduceMode : u8 { kAdd, kMin, kMax, kMinSigned, kMaxSigned, kAnd, kOr, kXor };

const Inst* reduce(Warp& warp, const Inst* in) {
  if (!arrived(warp, in, in->list[0])) return nullptr;
  u32 a[kLanes];
  std::memcpy(a, reg<u32>(warp, in->a), sizeof a);
  const u32* members = reg<u32>(warp, in->list[0]);
  for_active(warp, [&](u32 i) {
    bool first = true;
    u32 sum = 0;
    for (u32 rest = members[i] & warp.mask; rest; rest &= rest - 1) {
      const u32 x = a[__builtin_ctz(rest)];
      const i32 s = static_cast<i32>(x), t = static_cast<i32>(sum);
      if (first) {
        sum = x;
        first = false;
        continue;
      }
      switch (in->kind) {
        case kAdd:
          sum += x;
          break;
        case kMin:
          sum = std::min(sum, x);
          break;
        case kMax:
          sum = std::max(sum, x);
          break;
        case kMinSigned:
          sum = static_cast<u32>(std::min(s, t));
          break;
        case kMaxSigned:
          sum = static_cast<u32>(std::max(s, t));
          break;
        case kAnd:
          sum &= x;
          break;
        case kOr:
          sum |= x;
          break;
        default:
          sum ^= x;
          break;
      }
    }
    reg<u32>(warp, in->d)[i] = sum;
  });
  return in + 1;
}

const Inst* active(Warp& warp, const Inst* in) {
  for_active(warp, [&](u32 i) { reg<u32>(warp, in->d)[i] = warp.mask; });
  return in + 1;
}
const Inst* elect(Warp& warp, const Inst* in) {
  if (!arrived(warp, in, in->list[0])) return nullptr;
  const u32* members = reg<u32>(warp, in->list[0]);
  u32 leaders[kLanes], elected = 0;
  for_active(warp, [&](u32 i) {
    leaders[i] = static_cast<u32>(__builtin_ctz(members[i] & warp.mask));
    elected |= 1u << leaders[i];
  });
  if (in->d != kFull) for_active(warp, [&](u32 i) { reg<u32>(warp, in->d)[i] = leaders[i]; });
  set_predicate(warp, in->extra, elected);
  return in + 1;
}

template <class T>
void copy_lanes(u8* to, const u8* from, u32 lanes) {
  for_lanes(lanes, [&](u32 i) { std::memcpy(to + i * sizeof(T), from + i * sizeof(T), sizeof(T)); });
}
void copy_bits(u8* to, const u8* from, u32 lanes) {
  u32 old, bits;
  std::memcpy(&old, to, 4);
  std::memcpy(&bits, from, 4);
  old = (old & ~lanes) | (bits & lanes);
  std::memcpy(to, &old, 4);
}

}  // namespace

// The operands are brought together in a register file of their own, the exchange happens there, and each lane's result
// goes where its own instruction says.
void exchange_across(Warp& warp, const std::vector<Attendance>& parts) {
  constexpr u32 a = 0, b = 256, c = 384, members = 512, d = 640, predicate_at = 768;
  alignas(64) u8 file[832] = {};
  const Handler operation = operation_of(parts[0].in);
  const bool votes = operation == vote, shuffles = operation == shuffle;
  const bool wide = operation == match<u64, false> || operation == match<u64, true>;
  const bool gives_predicate =
      shuffles || operation == elect || operation == match<u32, true> || operation == match<u64, true>;
  u8* registers = warp.regs;
  u32 lanes = 0;
  for (const auto& [in, part] : parts) {
    lanes |= part;
    copy_lanes<u32>(file + members, registers + in->list[0], part);
    if (votes)
      copy_bits(file + a, registers + in->a, part);
    else if (wide)
      copy_lanes<u64>(file + a, registers + in->a, part);
    else if (operation != elect)
      copy_lanes<u32>(file + a, registers + in->a, part);
    if (!shuffles) continue;
    copy_lanes<u32>(file + b, registers + in->b, part);
    copy_lanes<u32>(file + c, registers + in->c, part);
  }
  Inst joint = *parts[0].in;
  const u32 list[1] = {members};
  joint.list = list;
  joint.a = a, joint.b = b, joint.c = c, joint.d = d, joint.extra = predicate_at;
  warp.regs = file;
  warp.mask = lanes;
  operation(warp, &joint);
  warp.regs = registers;
  for (const auto& [in, part] : parts) {
    if (votes && in->kind != kBallot)
      copy_bits(registers + in->d, file + d, part);
    else if (in->d != kFull)
      copy_lanes<u32>(registers + in->d, file + d, part);
    if (gives_predicate && in->extra != kFull) copy_bits(registers + in->extra, file + predicate_at, part);
  }
}

void add_warp(HandlerTable& table) {
  table["shfl"] = shuffle;
  table["vote"] = vote;
  table["match.any.b32"] = match<u32, false>;
  table["match.any.b64"] = match<u64, false>;
  table["match.all.b32"] = match<u32, true>;
  table["match.all.b64"] = match<u64, true>;
  table["redux"] = reduce;
  table["activemask"] = active;
  table["elect"] = elect;
}

}  // namespace tweedie::vgpu
