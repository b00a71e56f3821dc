// Loads and stores. The addresses of a warp are looked at as a whole: consecutive ones move with one copy, and one
// bounds check against the allocation that this instruction met last covers all 32.
#include "exec/access.h"
#include "exec/lanes.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

template <u32 Bytes>
struct Raw;
template <>
struct Raw<1> {
  using type = u8;
};
template <>
struct Raw<2> {
  using type = u16;
};
template <>
struct Raw<4> {
  using type = u32;
};
template <>
struct Raw<8> {
  using type = u64;
};

// Where the lanes' elements lie in host memory: base + index[i].
template <class Index>
struct Where {
  alignas(64) Index index[kLanes];
  u8* base = nullptr;
  bool consecutive = false;  // index[i] = index[0] + i * bytes, and all 32 may be touched
  bool uniform = false;
};

// Global and generic addresses. False after a fault.
template <AccessKind Kind>
__attribute__((always_inline)) inline bool locate(Warp& warp, const Inst* in, u32 bytes, Where<u64>& at) {
  const u64* a = reg<u64>(warp, in->a);
  const u64 offset = static_cast<u64>(in->imm);
  const u32 mask = warp.mask;
  const u32 first = static_cast<u32>(__builtin_ctz(mask));
  const u64 start = a[first] + offset - first * bytes;
  alignas(64) u64 line[kLanes];
  u64 differ = 0, bits = 0;
  for (int i = 0; i < kLanes; ++i) line[i] = start + i * bytes;
  if (mask == kFull) {
    for (int i = 0; i < kLanes; ++i) at.index[i] = a[i] + offset;
  } else {
    alignas(64) u64 given[kLanes];
    for (int i = 0; i < kLanes; ++i) given[i] = a[i] + offset;
    std::memcpy(at.index, line, sizeof line);
    blend(at.index, given, mask);
  }
  for (int i = 0; i < kLanes; ++i) differ |= at.index[i] ^ line[i];
  u64 low, high;
  if (differ == 0) {
    low = start;
    high = start + (kLanes - 1) * bytes;
    bits = start;
  } else {
    if (mask != kFull) {
      alignas(64) u64 same[kLanes];
      for (int i = 0; i < kLanes; ++i) same[i] = a[first] + offset;
      blend(at.index, same, ~mask);
    }
    low = ~0ull, high = 0;
    for (int i = 0; i < kLanes; ++i) {
      low = at.index[i] < low ? at.index[i] : low;
      high = at.index[i] > high ? at.index[i] : high;
      bits |= at.index[i];
    }
  }
  if (__builtin_expect((bits & (bytes - 1)) != 0, 0)) {
    for (u32 i = 0; i < kLanes; ++i)
      if ((mask >> i & 1) && (at.index[i] & (bytes - 1))) {
        fault_misaligned(warp, in, at.index[i], bytes, i);
        return false;
      }
  }
  if (__builtin_expect(warp.observe, 0)) observe(warp, in, at.index, mask, bytes, SpaceKind::global, Kind);
  const Range& range = warp.worker->ranges[in->slot];
  if (__builtin_expect(low - range.begin < range.size && high + bytes - range.begin <= range.size, 1)) {
    at.base = reinterpret_cast<u8*>(range.delta);
    at.consecutive = differ == 0;
    at.uniform = low == high;
    return true;
  }
  if (!resolve_lanes(warp, in, at.index, bytes, Kind)) return false;
  at.base = nullptr;
  at.consecutive = at.uniform = false;
  return true;
}

// Shared memory: 32-bit offsets in the block's array.
template <AccessKind Kind>
__attribute__((always_inline)) inline bool locate(Warp& warp, const Inst* in, u32 bytes, Where<u32>& at) {
  const u32* a = reg<u32>(warp, in->a);
  const u32 offset = static_cast<u32>(in->imm);
  const u32 mask = warp.mask;
  const u32 first = static_cast<u32>(__builtin_ctz(mask));
  if (mask == kFull) {
    for (int i = 0; i < kLanes; ++i) at.index[i] = a[i] + offset;
  } else {
    alignas(64) u32 given[kLanes];
    const u32 other = a[first] + offset;
    for (int i = 0; i < kLanes; ++i) given[i] = a[i] + offset, at.index[i] = other;
    blend(at.index, given, mask);
  }
  u32 low = ~0u, high = 0, bits = 0, differ = 0;
  const u32 start = at.index[0];
  for (int i = 0; i < kLanes; ++i) {
    low = at.index[i] < low ? at.index[i] : low;
    high = at.index[i] > high ? at.index[i] : high;
    bits |= at.index[i];
    differ |= at.index[i] ^ (start + i * bytes);
  }
  if (__builtin_expect((bits & (bytes - 1)) != 0 || static_cast<u64>(high) + bytes > warp.block->shared_bytes, 0)) {
    for (u32 i = 0; i < kLanes; ++i) {
      if (!(mask >> i & 1)) continue;
      if (at.index[i] & (bytes - 1)) {
        fault_misaligned(warp, in, at.index[i], bytes, i);
        return false;
      }
      if (static_cast<u64>(at.index[i]) + bytes > warp.block->shared_bytes) {
        fault_bounds(warp, in, SpaceKind::shared, at.index[i], bytes, i);
        return false;
      }
    }
  }
  if (__builtin_expect(warp.observe, 0)) {
    u64 wide[kLanes];
    for (int i = 0; i < kLanes; ++i) wide[i] = at.index[i];
    observe(warp, in, wide, mask, bytes, SpaceKind::shared, Kind);
  }
  at.base = warp.block->shared;
  at.consecutive = differ == 0;
  at.uniform = low == high;
  return true;
}

// Local memory: offsets in each lane's own array; frame-relative ones have the flag.
inline bool locate_local(Warp& warp, const Inst* in, u32 bytes, Where<u64>& at) {
  const u64* a = reg<u64>(warp, in->a);
  const u32 frame = in->flags & 1 ? warp.local : 0;
  for (u32 i = 0; i < kLanes; ++i) {
    const u64 offset = (warp.mask >> i & 1 ? a[i] & 0xffffffffu : 0) + static_cast<u64>(in->imm) + frame;
    if (warp.mask >> i & 1) {
      if (offset & (bytes - 1)) return fault_misaligned(warp, in, offset, bytes, i);
      if (offset + bytes > warp.local_stride) return fault_bounds(warp, in, SpaceKind::local, offset, bytes, i);
    }
    at.index[i] = (warp.mask >> i & 1) ? static_cast<u64>(i) * warp.local_stride + offset : 0;
  }
  if (warp.observe) observe(warp, in, at.index, warp.mask, bytes, SpaceKind::local, AccessKind::load);
  at.base = warp.local_memory;
  at.consecutive = at.uniform = false;
  return true;
}

// Writes `raw` into the destination register, widened.
template <class W, class R>
inline void deliver(Warp& warp, u32 d, const R* raw, bool is_signed) {
  if constexpr (sizeof(W) == sizeof(R)) {
    if (warp.mask == kFull)
      std::memcpy(warp.regs + d, raw, sizeof(R) * kLanes);
    else
      blend(reg<R>(warp, d), raw, warp.mask);
  } else {
    using S = std::make_signed_t<R>;
    if (is_signed)
      each<W>(warp, d, [&](int i) { return static_cast<W>(static_cast<S>(raw[i])); });
    else
      each<W>(warp, d, [&](int i) { return static_cast<W>(raw[i]); });
  }
}

// Vectors of N elements a lane, from lanes to elements and back; the compiler makes permutations of the inner loops.
template <u32 N, class R, class Index>
__attribute__((always_inline)) inline void load_vectors(const Where<Index>& at, R (*table)[kLanes]) {
  alignas(64) R gathered[N * kLanes];
  const R* flat = reinterpret_cast<const R*>(at.base + at.index[0]);
  if (!at.consecutive) {
    for (int i = 0; i < kLanes; ++i) std::memcpy(gathered + N * i, at.base + at.index[i], N * sizeof(R));
    flat = gathered;
  }
  for (int i = 0; i < kLanes; ++i)
    for (u32 k = 0; k < N; ++k) table[k][i] = flat[N * i + k];
}
template <u32 N, class R, class W, class Index>
__attribute__((always_inline)) inline void store_vectors(const Where<Index>& at, const W* const* values, u32 mask) {
  alignas(64) R flat[N * kLanes];
  for (int i = 0; i < kLanes; ++i)
    for (u32 k = 0; k < N; ++k) flat[N * i + k] = static_cast<R>(values[k][i]);
  if (at.consecutive && mask == kFull) {
    std::memcpy(at.base + at.index[0], flat, sizeof flat);
    return;
  }
  for (u32 rest = mask; rest; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    std::memcpy(at.base + at.index[i], flat + N * i, N * sizeof(R));
  }
}

template <class R, class W, class Index>
__attribute__((always_inline)) inline void load_elements(Warp& warp, const Inst* in, const Where<Index>& at) {
  alignas(64) R raw[kLanes];
  const u32 n = in->count;
  const bool is_signed = in->kind;
  if (n == 1) {
    if (at.consecutive) {
      const R* from = reinterpret_cast<const R*>(at.base + at.index[0]);
      deliver<W>(warp, in->d, from, is_signed);
      return;
    }
    if (at.uniform) {
      const R value = *reinterpret_cast<const R*>(at.base + at.index[0]);
      for (int i = 0; i < kLanes; ++i) raw[i] = value;
    } else {
      for (int i = 0; i < kLanes; ++i) raw[i] = *reinterpret_cast<const R*>(at.base + at.index[i]);
    }
    deliver<W>(warp, in->d, raw, is_signed);
    return;
  }
  alignas(64) R table[4][kLanes];
  if (n == 4)
    load_vectors<4>(at, table);
  else
    load_vectors<2>(at, table);
  for (u32 k = 0; k < n; ++k)
    if (in->list[k] != kFull) deliver<W>(warp, in->list[k], table[k], is_signed);
}

template <class R, class W, class Index>
__attribute__((always_inline)) inline void store_elements(Warp& warp, const Inst* in, const Where<Index>& at) {
  const u32 n = in->count, mask = warp.mask;
  if (n == 1) {
    const W* value = reg<W>(warp, in->d);
    if (at.consecutive && mask == kFull) {
      R* to = reinterpret_cast<R*>(at.base + at.index[0]);
      if constexpr (sizeof(R) == sizeof(W)) {
        std::memcpy(to, value, sizeof(R) * kLanes);
      } else {
#pragma GCC ivdep
        for (int i = 0; i < kLanes; ++i) to[i] = static_cast<R>(value[i]);
      }
      return;
    }
    for (u32 rest = mask; rest; rest &= rest - 1) {
      const int i = __builtin_ctz(rest);
      *reinterpret_cast<R*>(at.base + at.index[i]) = static_cast<R>(value[i]);
    }
    return;
  }
  const W* values[4];
  for (u32 k = 0; k < n; ++k) values[k] = reg<W>(warp, in->list[k]);
  if (n == 4)
    store_vectors<4, R>(at, values, mask);
  else
    store_vectors<2, R>(at, values, mask);
}

template <u32 Bytes, class W>
const Inst* load_global(Warp& warp, const Inst* in) {
  Where<u64> at;
  if (!locate<AccessKind::load>(warp, in, Bytes * in->count, at)) return nullptr;
  load_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  if (__builtin_expect(in->ordering && warp.observe, 0)) observe_acquired(warp);
  return in + 1;
}
template <u32 Bytes, class W>
const Inst* store_global(Warp& warp, const Inst* in) {
  Where<u64> at;
  if (!locate<AccessKind::store>(warp, in, Bytes * in->count, at)) return nullptr;
  store_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  return in + 1;
}
template <u32 Bytes, class W>
const Inst* load_shared(Warp& warp, const Inst* in) {
  Where<u32> at;
  if (!locate<AccessKind::load>(warp, in, Bytes * in->count, at)) return nullptr;
  load_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  return in + 1;
}
template <u32 Bytes, class W>
const Inst* store_shared(Warp& warp, const Inst* in) {
  Where<u32> at;
  if (!locate<AccessKind::store>(warp, in, Bytes * in->count, at)) return nullptr;
  store_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  return in + 1;
}
template <u32 Bytes, class W>
const Inst* load_local(Warp& warp, const Inst* in) {
  Where<u64> at;
  if (!locate_local(warp, in, Bytes * in->count, at)) return nullptr;
  load_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  return in + 1;
}
template <u32 Bytes, class W>
const Inst* store_local(Warp& warp, const Inst* in) {
  Where<u64> at;
  if (!locate_local(warp, in, Bytes * in->count, at)) return nullptr;
  store_elements<typename Raw<Bytes>::type, W>(warp, in, at);
  return in + 1;
}
// Kernel parameters are the same for every lane.
template <u32 Bytes, class W>
const Inst* load_parameter(Warp& warp, const Inst* in) {
  using R = typename Raw<Bytes>::type;
  const auto& parameters = warp.block->launch->parameters;
  for (u32 k = 0; k < in->count; ++k) {
    const u32 d = in->count == 1 ? in->d : in->list[k];
    if (d == kFull) continue;
    R raw;
    std::memcpy(&raw, parameters.data() + in->imm + k * Bytes, Bytes);
    const W value = in->kind ? static_cast<W>(static_cast<std::make_signed_t<R>>(raw)) : static_cast<W>(raw);
    each<W>(warp, d, [&](int) { return value; });
  }
  return in + 1;
}

// 16 bytes of a 128-bit register.
template <bool Load, class Index>
const Inst* move_wide(Warp& warp, const Inst* in, const Where<Index>& at) {
  for (u32 rest = warp.mask; rest; rest &= rest - 1) {
    const int i = __builtin_ctz(rest);
    u8* memory = at.base + at.index[i];
    u8* value = warp.regs + in->d + 16 * i;
    std::memcpy(Load ? value : memory, Load ? memory : value, 16);
  }
  if (Load && in->ordering && warp.observe) observe_acquired(warp);
  return in + 1;
}
template <bool Load, class Index>
const Inst* wide(Warp& warp, const Inst* in) {
  Where<Index> at;
  if (in->count > 1) return fault(warp, in, FaultKind::unsupported, 0, "a vector of 128-bit elements");
  if (!locate < Load ? AccessKind::load : AccessKind::store > (warp, in, 16, at)) return nullptr;
  return move_wide<Load>(warp, in, at);
}
template <bool Load>
const Inst* wide_local(Warp& warp, const Inst* in) {
  Where<u64> at;
  if (!locate_local(warp, in, 16, at)) return nullptr;
  return move_wide<Load>(warp, in, at);
}

template <u32 Bytes, class W>
void add_pair(HandlerTable& table, const std::string& key) {
  table["ld.global." + key] = load_global<Bytes, W>;
  table["st.global." + key] = store_global<Bytes, W>;
  table["ld.shared." + key] = load_shared<Bytes, W>;
  table["st.shared." + key] = store_shared<Bytes, W>;
  table["ld.local." + key] = load_local<Bytes, W>;
  table["st.local." + key] = store_local<Bytes, W>;
  table["ld.param." + key] = load_parameter<Bytes, W>;
}

}  // namespace

// Keys: the element's bytes, then the register's bits.
void add_memory(HandlerTable& table) {
  add_pair<1, u16>(table, "1.16");
  add_pair<1, u32>(table, "1.32");
  add_pair<1, u64>(table, "1.64");
  add_pair<2, u16>(table, "2.16");
  add_pair<2, u32>(table, "2.32");
  add_pair<2, u64>(table, "2.64");
  add_pair<4, u32>(table, "4.32");
  add_pair<4, u64>(table, "4.64");
  add_pair<8, u64>(table, "8.64");
  table["ld.global.16.128"] = wide<true, u64>;
  table["st.global.16.128"] = wide<false, u64>;
  table["ld.shared.16.128"] = wide<true, u32>;
  table["st.shared.16.128"] = wide<false, u32>;
  table["ld.local.16.128"] = wide_local<true>;
  table["st.local.16.128"] = wide_local<false>;
}

}  // namespace tweedie::vgpu::VGPU_ISA
