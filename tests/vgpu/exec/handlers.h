// Handlers that are compiled once, and what they share.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "exec/machine.h"

namespace tweedie::vgpu {

using HandlerTable = std::unordered_map<std::string, Handler>;

constexpr u8 kExitsAtOnce = 1;  // on a label: nothing but the kernel's end stands there

template <class T>
inline T* reg(Warp& warp, u32 offset) {
  return reinterpret_cast<T*>(warp.regs + offset);
}
inline u32& predicate(Warp& warp, u32 offset) {
  return *reinterpret_cast<u32*>(warp.regs + offset);
}

// f(lane) for the lanes of a mask, in order.
template <class F>
void for_lanes(u32 mask, F f) {
  for (u32 rest = mask; rest; rest &= rest - 1) f(static_cast<u32>(__builtin_ctz(rest)));
}
template <class F>
void for_active(const Warp& warp, F f) {
  for_lanes(warp.mask, f);
}

// Whether every live lane named in the active lanes' masks is here. If only some groups of lanes are complete, the
// others stay behind as a split that waits; if none is, the running split is set to wait.
bool gather_members(Warp& warp, const Inst* in, const u32* members, Meeting meeting);
// An exchange whose lanes came to it at different instructions of one kind, or from different calls.
struct Attendance {
  const Inst* in;
  u32 lanes;
};
void exchange_across(Warp& warp, const std::vector<Attendance>& parts);
// What an instruction does, whether or not it is guarded.
inline Handler operation_of(const Inst* in) {
  return in->guarded && in->inner ? in->inner : in->fn;
}

// What an atomic "add.f32" does to a value, and its width; null for none.
void* atomic_operation(const std::string& key, u32& bytes);

void add_control(HandlerTable& table);
void add_warp(HandlerTable& table);
void add_atomic(HandlerTable& table);
void add_async(HandlerTable& table);
void add_system(HandlerTable& table);
void add_fragment(HandlerTable& table);
void add_video(HandlerTable& table);
void add_narrow(HandlerTable& table);

// All handlers, for the best instruction set that this processor has.
const HandlerTable& handlers();
Handler find_handler(const std::string& key);  // null for none

}  // namespace tweedie::vgpu
