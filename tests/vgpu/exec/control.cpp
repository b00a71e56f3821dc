// Branches, calls, exits, barriers and the wrappers of guarded and rounded instructions.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "exec/gather.h"
#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

const Inst* stop(Warp& warp, Stop why, const Inst* resume) {
  warp.stop = why;
  warp.resume = resume;
  return nullptr;
}
const Inst* code_of(Warp& warp) {
  return warp.block->launch->program->code.data();
}

// Lanes `mask` leave the running split for another place.
void part(Warp& warp, u32 mask, const Inst* at) {
  warp.mask &= ~mask;
  Split other = warp.current;
  other.mask = mask;
  other.at = at;
  other.local = warp.local;
  other.wait = Wait::ready;
  other.barrier = -1;
  other.missing = 0;
  warp.others.push_back(std::move(other));
  if (at < warp.limit) warp.limit = at;
}

void leave(Warp& warp, u32 mask) {
  warp.live &= ~mask;
  warp.mask &= ~mask;
}

u32 guarded_lanes(Warp& warp, const Inst* in) {
  if (!in->guarded) return warp.mask;
  const u32 p = predicate(warp, in->guard);
  return (in->negated ? ~p : p) & warp.mask;
}

const Inst* jump(Warp& warp, const Inst* in, const Inst* target) {
  if (in->backward && --warp.budget <= 0) return stop(warp, Stop::slice, target);
  return target;
}

const Inst* label(Warp& warp, const Inst* in) {
  if (__builtin_expect(in >= warp.limit, 0)) return stop(warp, Stop::yield, in);
  return in + 1;
}

const Inst* branch(Warp& warp, const Inst* in) {
  const u32 taken = guarded_lanes(warp, in);
  if (taken == 0) return in + 1;
  const Inst* target = code_of(warp) + in->target;
  if (taken == warp.mask) return jump(warp, in, target);
  if (target->flags & kExitsAtOnce) {
    leave(warp, taken);
    return in + 1;
  }
  if (target > in) {
    part(warp, taken, target);
    return in + 1;
  }
  part(warp, warp.mask & ~taken, in + 1);
  return jump(warp, in, target);
}

const Inst* branch_table(Warp& warp, const Inst* in) {  // brx.idx: list holds instruction numbers
  const u32* index = reg<u32>(warp, in->a);
  const u32 taken = guarded_lanes(warp, in);
  if (taken == 0) return in + 1;
  if (taken != warp.mask) part(warp, warp.mask & ~taken, in + 1);
  const u32 first = index[__builtin_ctz(taken)];
  u32 same = 0;
  for (u32 rest = taken; rest; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    if (index[i] >= in->extra) return fault(warp, in, FaultKind::unsupported, i, "brx.idx outside of its table");
    if (index[i] == first) same |= 1u << i;
  }
  if (same != taken) part(warp, taken & ~same, in);
  const Inst* target = code_of(warp) + in->list[first];
  if (target <= in && --warp.budget <= 0) return stop(warp, Stop::slice, target);
  return stop(warp, Stop::yield, target);  // others may now stand lower
}

const Inst* leave_kernel(Warp& warp, const Inst* in) {
  const u32 lanes = guarded_lanes(warp, in);
  leave(warp, lanes);
  return warp.mask ? in + 1 : stop(warp, Stop::exited, in);
}

// A function's registers, for the lanes of a mask, out of the file or back.
std::shared_ptr<std::vector<u8>> save(Warp& warp, const FunctionInfo& f) {
  auto saved = std::make_shared<std::vector<u8>>();
  for (const auto& part : f.parts) saved->insert(saved->end(), warp.regs + part.begin, warp.regs + part.end);
  return saved;
}
void restore(Warp& warp, const Frame& frame, u32 mask) {
  const u8* from = frame.saved->data();
  const FunctionInfo& f = warp.block->launch->program->functions[frame.function];
  for (int type = 0; type < kClasses; ++type)
    for (u32 at = f.parts[type].begin; at < f.parts[type].end; at += kSlotBytes[type], from += kSlotBytes[type]) {
      if (type == 0) {
        u32& p = predicate(warp, at);
        u32 old;
        std::memcpy(&old, from, 4);
        p = (p & ~mask) | (old & mask);
        continue;
      }
      const u32 bytes = kSlotBytes[type] / kLanes;
      for_lanes(mask, [&](u32 i) { std::memcpy(warp.regs + at + i * bytes, from + i * bytes, bytes); });
    }
}

const Inst* return_from(Warp& warp, const Inst* in) {
  if (warp.current.stack.empty()) return leave_kernel(warp, in);
  const u32 lanes = guarded_lanes(warp, in);
  if (lanes == 0) return in + 1;
  if (lanes != warp.mask) part(warp, warp.mask & ~lanes, in + 1);
  const Frame frame = warp.current.stack.back();
  warp.current.stack.pop_back();
  warp.local = frame.local;
  if (frame.saved) restore(warp, frame, lanes);
  if (frame.tops) for_lanes(lanes, [&](u32 i) { warp.tops[i] = (*frame.tops)[i]; });
  return stop(warp, Stop::yield, code_of(warp) + frame.back);
}

const Inst* enter(Warp& warp, const Inst* in, u32 callee_index) {
  const Program& program = *warp.block->launch->program;
  const FunctionInfo& caller = program.functions[in->extra];
  const FunctionInfo& callee = program.functions[callee_index];
  Frame frame;
  frame.back = static_cast<u32>(in + 1 - program.code.data());
  frame.local = warp.local;
  frame.function = in->extra;
  if (caller.cycle && caller.cycle == callee.cycle) frame.saved = save(warp, caller);
  warp.local += caller.local_bytes;
  u32 end = warp.local_stride;
  if (program.allocates) {
    frame.tops = std::make_shared<std::vector<u32>>(warp.tops);
    for_lanes(warp.mask, [&](u32 i) { end = std::min(end, warp.tops[i]); });
  }
  if (warp.local + callee.local_bytes > end)
    return fault(warp, in, FaultKind::address, __builtin_ctz(warp.mask),
                 fmt::format("stack overflow: {} bytes a thread are used up", warp.local_stride));
  warp.current.stack.push_back(std::move(frame));
  const Inst* target = program.code.data() + callee.start;
  if (warp.others.empty()) return target;
  return stop(warp, Stop::yield, target);
}

// alloca d, bytes, align (imm): taken from the end of the thread's stack. extra: the function.
const Inst* take_stack(Warp& warp, const Inst* in) {
  const u64* bytes = reg<u64>(warp, in->a);
  const u64 align = static_cast<u64>(in->imm);
  const u64 used = warp.local + warp.block->launch->program->functions[in->extra].local_bytes;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    if (bytes[i] + align > warp.tops[i] - std::min<u64>(used, warp.tops[i]))
      return fault(warp, in, FaultKind::address, i,
                   fmt::format("stack overflow: alloca of {} bytes, {} bytes a thread are left", bytes[i],
                               warp.tops[i] - std::min<u64>(used, warp.tops[i])));
    warp.tops[i] = static_cast<u32>((warp.tops[i] - bytes[i]) & ~(align - 1));
    reg<u64>(warp, in->d)[i] = warp.tops[i];
  }
  return in + 1;
}
const Inst* save_stack(Warp& warp, const Inst* in) {
  for_active(warp, [&](u32 i) { reg<u64>(warp, in->d)[i] = warp.tops[i]; });
  return in + 1;
}
const Inst* restore_stack(Warp& warp, const Inst* in) {
  for_active(warp, [&](u32 i) { warp.tops[i] = static_cast<u32>(reg<u64>(warp, in->a)[i]); });
  return in + 1;
}

const Inst* call(Warp& warp, const Inst* in) {
  const u32 lanes = guarded_lanes(warp, in);
  if (lanes == 0) return in + 1;
  if (lanes != warp.mask) part(warp, warp.mask & ~lanes, in + 1);
  return enter(warp, in, static_cast<u32>(in->imm));
}

const Inst* call_pointer(Warp& warp, const Inst* in) {
  const u32 lanes = guarded_lanes(warp, in);
  if (lanes == 0) return in + 1;
  if (lanes != warp.mask) part(warp, warp.mask & ~lanes, in + 1);
  const u64* value = reg<u64>(warp, in->a);
  const u64 first = value[__builtin_ctz(lanes)];
  const auto& by_number = warp.block->launch->program->by_number;
  const u64 number = first - kFunctionWindow;
  const u32 index = number < by_number.size() ? by_number[number] : 0;
  if (index == 0)
    return fault(warp, in, FaultKind::address, __builtin_ctz(lanes),
                 fmt::format("call of {:#x}, which is no function", first));
  u32 same = 0;
  for (u32 rest = lanes; rest; rest &= rest - 1)
    if (value[__builtin_ctz(rest)] == first) same |= rest & -rest;
  if (same != lanes) part(warp, lanes & ~same, in);
  return enter(warp, in, index);
}

const Inst* guarded(Warp& warp, const Inst* in) {
  const u32 all = warp.mask, lanes = guarded_lanes(warp, in);
  if (lanes == 0) return in + 1;
  warp.mask = lanes;
  const Inst* next = in->inner(warp, in);
  if (next || warp.stop == Stop::fault) {
    warp.mask = all & ~(lanes & ~warp.mask);  // without the lanes that stayed behind to wait for others
    return next;
  }
  // It blocked: the lanes whose guard fails go on, those where it holds wait.
  if (all != lanes) {
    warp.mask = all;
    part(warp, all & ~lanes, in + 1);
  }
  return nullptr;
}

const Inst* under_rounding(Warp& warp, const Inst* in) {
  const u32 old = _mm_getcsr();
  _mm_setcsr((old & ~0xe040u) | in->control);
  const Inst* next = in->core(warp, in);
  _mm_setcsr(old);
  return next;
}

// bar.sync a[, b]; kind 0 sync, 1 arrive, 2 red.popc, 3 red.and, 4 red.or; flags 1: aligned.
const Inst* barrier(Warp& warp, const Inst* in) {
  const int first = __builtin_ctz(warp.mask);
  const u32 id = reg<u32>(warp, in->a)[first];
  if (id >= 16) return fault(warp, in, FaultKind::unsupported, first, fmt::format("barrier {} of 16", id));
  const u32 count = in->count > 1 ? reg<u32>(warp, in->b)[first] : 0;
  Barrier& state = warp.block->barriers[id];
  if (count % kLanes)
    return fault(warp, in, FaultKind::unsupported, first,
                 fmt::format("barrier count {} is not a multiple of 32", count));
  state.expected = count;
  if (in->kind == 1) {
    state.arrived += kLanes;
    state.time = std::max(state.time, warp.time);
    return in + 1;
  }
  if (in->kind >= 2) {
    const u32 p = predicate(warp, in->c);
    state.reduce_count += static_cast<u32>(__builtin_popcount((in->flags & 2 ? ~p : p) & warp.mask));
    state.reduce_votes += static_cast<u32>(__builtin_popcount(warp.mask));
  }
  warp.current.wait = Wait::barrier;
  warp.current.barrier = static_cast<int>(id);
  warp.current.missing = in->flags & 1 ? warp.live & ~warp.mask : 0;
  return stop(warp, Stop::blocked, in);
}

const Inst* warp_barrier(Warp& warp, const Inst* in) {
  if (!gather_members(warp, in, reg<u32>(warp, in->a), Meeting::warp_barrier)) return nullptr;
  ++warp.inner_time;
  return in + 1;
}

const Inst* nothing(Warp&, const Inst* in) {
  return in + 1;
}
const Inst* memory_fence(Warp& warp, const Inst* in) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (warp.seen_time) {
    warp.time = std::max(warp.time, warp.seen_time);
    warp.seen_time = 0;
    ++warp.inner_time;
  }
  warp.fence_time = warp.time + 1;
  return in + 1;
}
const Inst* sleep(Warp& warp, const Inst* in) {
  return stop(warp, Stop::slice, in + 1);
}
const Inst* trap(Warp& warp, const Inst* in) {
  if (guarded_lanes(warp, in) == 0) return in + 1;
  return fault(warp, in, FaultKind::trap, __builtin_ctz(guarded_lanes(warp, in)), "trap");
}
const Inst* unsupported(Warp& warp, const Inst* in) {
  return fault(warp, in, FaultKind::unsupported, __builtin_ctz(warp.mask), "the virtual GPU lacks this instruction");
}

}  // namespace

bool gather_members(Warp& warp, const Inst* in, const u32* members, Meeting meeting) {
  u32 wanted = 0, complete = 0;
  for_active(warp, [&](u32 i) {
    wanted |= members[i];
    if ((members[i] & warp.live & ~warp.mask) == 0) complete |= 1u << i;
  });
  wanted &= warp.live;
  if ((wanted & ~warp.mask) == 0) return true;
  Split& waiting = warp.current;
  if (complete) {  // the groups that are all here go on; the others wait on their own
    part(warp, warp.mask & ~complete, in);
    Split& other = warp.others.back();
    other.wait = Wait::sync;
    other.members = wanted;
    other.meeting = meeting;
    return true;
  }
  waiting.wait = Wait::sync;
  waiting.members = wanted;
  waiting.meeting = meeting;
  stop(warp, Stop::blocked, in);
  return false;
}

bool gather_warp(Warp& warp, const Inst* in) {
  if (__builtin_expect(warp.mask == kFull, 1)) return true;
  u32 members[kLanes];
  std::fill(members, members + kLanes, kFull);
  if (!gather_members(warp, in, members, Meeting::here)) return false;
  fault(warp, in, FaultKind::unsupported, static_cast<u32>(__builtin_ctz(warp.mask)),
        "a matrix operation needs all 32 lanes of the warp");
  return false;
}

void add_control(HandlerTable& table) {
  table["label"] = label;
  table["bra"] = branch;
  table["brx"] = branch_table;
  table["exit"] = leave_kernel;
  table["ret"] = return_from;
  table["call"] = call;
  table["call.pointer"] = call_pointer;
  table["alloca"] = take_stack;
  table["stacksave"] = save_stack;
  table["stackrestore"] = restore_stack;
  table["guarded"] = guarded;
  table["rounded"] = under_rounding;
  table["bar"] = barrier;
  table["bar.warp"] = warp_barrier;
  table["nop"] = nothing;
  table["fence"] = memory_fence;
  table["sleep"] = sleep;
  table["trap"] = trap;
  table["unsupported"] = unsupported;
}

}  // namespace tweedie::vgpu
