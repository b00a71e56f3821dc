// atom and red: each lane in turn, atomic against the other workers' blocks.
#include <cstring>
#include <map>

#include "exec/access.h"
#include "exec/half.h"
#include "exec/handlers.h"
#include "exec/scheduler.h"

namespace tweedie::vgpu {
namespace {

using Apply = u64 (*)(u64 old, u64 b, u64 c);
using isa_baseline::bit_cast;
using isa_baseline::Brain;
using isa_baseline::Half;

template <class Type>
u64 add_one(u64 a, u64 b) {
  return Type::narrow(Type::widen(static_cast<u16>(a)) + Type::widen(static_cast<u16>(b)));
}
template <class Type>
u64 add_two(u64 a, u64 b) {
  return add_one<Type>(a, b) | add_one<Type>(a >> 16, b >> 16) << 16;
}

struct Operation {
  Apply apply;
  u8 bytes;
};

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> table = {
      {"add.u32", {[](u64 o, u64 b, u64) { return o + b; }, 4}},
      {"add.s32", {[](u64 o, u64 b, u64) { return o + b; }, 4}},
      {"add.u64", {[](u64 o, u64 b, u64) { return o + b; }, 8}},
      {"add.s64", {[](u64 o, u64 b, u64) { return o + b; }, 8}},
      {"add.f32",
       {[](u64 o, u64 b, u64) -> u64 {
          return bit_cast<u32>(bit_cast<float>(static_cast<u32>(o)) + bit_cast<float>(static_cast<u32>(b)));
        },
        4}},
      {"add.f64", {[](u64 o, u64 b, u64) { return bit_cast<u64>(bit_cast<double>(o) + bit_cast<double>(b)); }, 8}},
      {"add.f16", {[](u64 o, u64 b, u64) { return add_one<Half>(o, b); }, 2}},
      {"add.bf16", {[](u64 o, u64 b, u64) { return add_one<Brain>(o, b); }, 2}},
      {"add.f16x2", {[](u64 o, u64 b, u64) { return add_two<Half>(o, b); }, 4}},
      {"add.bf16x2", {[](u64 o, u64 b, u64) { return add_two<Brain>(o, b); }, 4}},
      {"exch.b32", {[](u64, u64 b, u64) { return b; }, 4}},
      {"exch.b64", {[](u64, u64 b, u64) { return b; }, 8}},
      {"cas.b16", {[](u64 o, u64 b, u64 c) { return (o & 0xffff) == (b & 0xffff) ? c : o; }, 2}},
      {"cas.b32", {[](u64 o, u64 b, u64 c) { return static_cast<u32>(o) == static_cast<u32>(b) ? c : o; }, 4}},
      {"cas.b64", {[](u64 o, u64 b, u64 c) { return o == b ? c : o; }, 8}},
      {"and.b32", {[](u64 o, u64 b, u64) { return o & b; }, 4}},
      {"and.b64", {[](u64 o, u64 b, u64) { return o & b; }, 8}},
      {"or.b32", {[](u64 o, u64 b, u64) { return o | b; }, 4}},
      {"or.b64", {[](u64 o, u64 b, u64) { return o | b; }, 8}},
      {"xor.b32", {[](u64 o, u64 b, u64) { return o ^ b; }, 4}},
      {"xor.b64", {[](u64 o, u64 b, u64) { return o ^ b; }, 8}},
      {"inc.u32", {[](u64 o, u64 b, u64) -> u64 { return static_cast<u32>(o) >= static_cast<u32>(b) ? 0 : o + 1; }, 4}},
      {"dec.u32",
       {[](u64 o, u64 b, u64) -> u64 {
          return static_cast<u32>(o) == 0 || static_cast<u32>(o) > static_cast<u32>(b) ? b : o - 1;
        },
        4}},
      {"min.u32", {[](u64 o, u64 b, u64) -> u64 { return std::min(static_cast<u32>(o), static_cast<u32>(b)); }, 4}},
      {"max.u32", {[](u64 o, u64 b, u64) -> u64 { return std::max(static_cast<u32>(o), static_cast<u32>(b)); }, 4}},
      {"min.s32",
       {[](u64 o, u64 b, u64) -> u64 { return static_cast<u32>(std::min(static_cast<i32>(o), static_cast<i32>(b))); },
        4}},
      {"max.s32",
       {[](u64 o, u64 b, u64) -> u64 { return static_cast<u32>(std::max(static_cast<i32>(o), static_cast<i32>(b))); },
        4}},
      {"min.u64", {[](u64 o, u64 b, u64) { return std::min(o, b); }, 8}},
      {"max.u64", {[](u64 o, u64 b, u64) { return std::max(o, b); }, 8}},
      {"min.s64",
       {[](u64 o, u64 b, u64) -> u64 { return static_cast<u64>(std::min(static_cast<i64>(o), static_cast<i64>(b))); },
        8}},
      {"max.s64",
       {[](u64 o, u64 b, u64) -> u64 { return static_cast<u64>(std::max(static_cast<i64>(o), static_cast<i64>(b))); },
        8}},
  };
  return table;
}

template <class T>
T exchange(void* at, Apply apply, T b, T c) {
  T* place = static_cast<T*>(at);
  T old = __atomic_load_n(place, __ATOMIC_SEQ_CST);
  while (!__atomic_compare_exchange_n(place, &old, static_cast<T>(apply(old, b, c)), false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST)) {
  }
  return old;
}

// The host's addresses of the active lanes' places of `bytes` each, a power of two; false where an access faults.
bool find_places(Warp& warp, const Inst* in, u32 bytes, u64* addresses) {
  polled() = true;
  for (int i = 0; i < kLanes; ++i)
    addresses[i] = in->space ? static_cast<u64>(reg<u32>(warp, in->a)[i] + static_cast<u32>(in->imm))
                             : reg<u64>(warp, in->a)[i] + static_cast<u64>(in->imm);
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const u32 i = static_cast<u32>(__builtin_ctz(rest));
    if (addresses[i] & (bytes - 1)) {
      fault_misaligned(warp, in, addresses[i], bytes, i);
      return false;
    }
    if (in->space && addresses[i] + bytes > warp.block->shared_bytes) {
      fault_bounds(warp, in, SpaceKind::shared, addresses[i], bytes, i);
      return false;
    }
  }
  if (warp.observe)
    observe(warp, in, addresses, warp.mask, bytes, in->space ? SpaceKind::shared : SpaceKind::global,
            AccessKind::atomic);
  if (!in->space) return resolve_lanes(warp, in, addresses, bytes, AccessKind::atomic);
  for (u32 i = 0; i < kLanes; ++i) addresses[i] += reinterpret_cast<u64>(warp.block->shared);
  return true;
}

// a: address, b and c: operands, d: destination (kFull for red); imm: offset; extra: index of the operation;
// space: 0 global, 1 shared with 32-bit addresses; count: elements of a vector, whose operands, then results, are the
// list.
template <class T>
const Inst* atomic(Warp& warp, const Inst* in) {
  const Apply apply = reinterpret_cast<Apply>(in->operation);
  u64 addresses[kLanes];
  if (!find_places(warp, in, sizeof(T) * in->count, addresses)) return nullptr;
  T values[4][kLanes];  // copied: a result may take the place of a later operand
  for (u32 k = 0; k < in->count; ++k)
    std::memcpy(values[k], reg<T>(warp, in->count > 1 ? in->list[k] : in->b), sizeof values[k]);
  for (u32 k = 0; k < in->count; ++k) {
    const T* b = values[k];
    const T* c = reg<T>(warp, in->c);
    const u32 d = in->count > 1 ? in->list[in->count + k] : in->d;
    for (u32 rest = warp.mask; rest; rest &= rest - 1) {
      const int i = __builtin_ctz(rest);
      const T old = exchange<T>(reinterpret_cast<T*>(addresses[i]) + k, apply, b[i], c[i]);
      if (d != kFull) reg<T>(warp, d)[i] = old;
    }
  }
  if (warp.observe && !in->space) observe_acquired(warp);
  return in + 1;
}

// 128 bits; kind 0 exchanges, 1 compares with b and then stores c.
__attribute__((target("cx16"))) const Inst* wide_atomic(Warp& warp, const Inst* in) {
  using Word = unsigned __int128;
  u64 addresses[kLanes];
  if (!find_places(warp, in, 16, addresses)) return nullptr;
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    auto* place = reinterpret_cast<Word*>(addresses[i]);
    Word b, c, old, seen = 0;
    std::memcpy(&b, warp.regs + in->b + 16 * i, 16);
    std::memcpy(&c, warp.regs + (in->kind ? in->c : in->b) + 16 * i, 16);
    do {
      old = seen;
      seen = __sync_val_compare_and_swap(place, in->kind ? b : old, c);
    } while (in->kind == 0 && seen != old);
    if (in->d != kFull) std::memcpy(warp.regs + in->d + 16 * i, &seen, 16);
  }
  if (warp.observe && !in->space) observe_acquired(warp);
  return in + 1;
}

}  // namespace

void* atomic_operation(const std::string& key, u32& bytes) {
  const auto found = operations().find(key);
  if (found == operations().end()) return nullptr;
  bytes = found->second.bytes;
  return reinterpret_cast<void*>(found->second.apply);
}

void add_atomic(HandlerTable& table) {
  table["atom.2"] = atomic<u16>;
  table["atom.4"] = atomic<u32>;
  table["atom.8"] = atomic<u64>;
  table["atom.16"] = wide_atomic;
}

}  // namespace tweedie::vgpu
