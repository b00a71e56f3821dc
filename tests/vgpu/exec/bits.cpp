// Bit operations, packing and unpacking of registers, addresses of the local frame.
#include <algorithm>

#include "exec/lanes.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

// clang-format off
struct Popc { template <class T> static u32 run(T a) { return static_cast<u32>(__builtin_popcountll(a)); } };
struct Clz { template <class T> static u32 run(T a) { return a ? static_cast<u32>(__builtin_clzll(a) - (64 - 8 * sizeof(T))) : 8 * sizeof(T); } };
struct Brev { template <class T> static T run(T a) {
  T r = 0; for (unsigned k = 0; k < 8 * sizeof(T); ++k) r |= static_cast<T>((a >> k & 1) << (8 * sizeof(T) - 1 - k)); return r; } };
template <bool Shift>
struct Bfind { template <class T> static u32 run(T a) {
  if constexpr (std::is_signed_v<T>) if (a < 0) a = ~a;
  const auto bits = static_cast<std::make_unsigned_t<T>>(a);
  if (bits == 0) return kFull;
  const u32 leading = static_cast<u32>(__builtin_clzll(bits)) - (64 - 8 * sizeof(T));
  return Shift ? leading : 8 * sizeof(T) - 1 - leading; } };
// clang-format on

template <bool Left, bool Wrap>
const Inst* funnel(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  each<u32>(warp, in->d, [&](int i) {
    const u32 n = Wrap ? c[i] & 31 : (c[i] > 32 ? 32 : c[i]);
    const u64 pair = static_cast<u64>(b[i]) << 32 | a[i];
    return Left ? static_cast<u32>((pair << n) >> 32) : static_cast<u32>(pair >> n);
  });
  return in + 1;
}

template <class T>
const Inst* extract(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  constexpr u32 width = 8 * sizeof(T);
  using U = std::make_unsigned_t<T>;
  each<T>(warp, in->d, [&](int i) {
    const u32 position = b[i] & 255, length = c[i] & 255;
    const U value = static_cast<U>(a[i]);
    if (length == 0) return static_cast<T>(0);
    const U moved = position >= width ? 0 : value >> position;
    bool negative = false;
    if constexpr (std::is_signed_v<T>) negative = value >> std::min(position + length - 1, width - 1) & 1;
    const U keep = length >= width ? ~U(0) : (U(1) << length) - 1;
    // Bits beyond the source's end are copies of its sign.
    U field = moved & keep;
    if (negative) {
      const u32 taken = position >= width ? 0 : std::min(length, width - position);
      field |= taken >= width ? U(0) : ~U(0) << taken;
    }
    return static_cast<T>(field);
  });
  return in + 1;
}

template <class T>
const Inst* insert(Warp& warp, const Inst* in) {  // bfi d, a, b, position, length
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  const u32* c = reg<u32>(warp, in->list[0]);
  const u32* e = reg<u32>(warp, in->list[1]);
  constexpr u32 width = 8 * sizeof(T);
  each<T>(warp, in->d, [&](int i) {
    const u32 position = c[i] & 255, length = e[i] & 255;
    if (length == 0 || position >= width) return b[i];
    const T ones = length >= width ? ~T(0) : static_cast<T>((T(1) << length) - 1);
    const T mask = static_cast<T>(ones << position);
    return static_cast<T>((b[i] & ~mask) | ((a[i] << position) & mask));
  });
  return in + 1;
}

const Inst* field_mask(Warp& warp, const Inst* in) {  // bmsk.clamp / .wrap
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const bool wrap = in->flags;
  each<u32>(warp, in->d, [&](int i) {
    const u32 position = wrap ? a[i] & 31 : std::min(a[i], 32u), length = wrap ? b[i] & 31 : std::min(b[i], 32u);
    const u64 ones = (1ull << length) - 1;
    return static_cast<u32>(ones << position);
  });
  return in + 1;
}

const Inst* lop3(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  const u32 table = static_cast<u32>(in->imm);
  u32 t[8];
  for (int k = 0; k < 8; ++k) t[k] = table >> k & 1 ? kFull : 0;
  each<u32>(warp, in->d, [&](int i) {
    const u32 x = a[i], y = b[i], z = c[i];
    return (t[0] & ~x & ~y & ~z) | (t[1] & ~x & ~y & z) | (t[2] & ~x & y & ~z) | (t[3] & ~x & y & z) |
           (t[4] & x & ~y & ~z) | (t[5] & x & ~y & z) | (t[6] & x & y & ~z) | (t[7] & x & y & z);
  });
  return in + 1;
}

const Inst* permute(Warp& warp, const Inst* in) {  // prmt, by mode in flags
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  const int mode = in->flags;
  each<u32>(warp, in->d, [&](int i) {
    const u64 bytes = static_cast<u64>(b[i]) << 32 | a[i];
    const u32 control = c[i];
    u32 result = 0;
    for (u32 k = 0; k < 4; ++k) {
      u32 select = control >> (4 * k) & 15;
      const u32 n = control & 3;
      if (mode == 1) select = (n + k) & 7;            // f4e
      if (mode == 2) select = (n - k) & 7;            // b4e
      if (mode == 3) select = n;                      // rc8
      if (mode == 4) select = std::max(n, k);         // ecl
      if (mode == 5) select = std::min(n, k);         // ecr
      if (mode == 6) select = (n & 1) * 2 + (k & 1);  // rc16
      u32 byte = bytes >> (8 * (select & 7)) & 255;
      if (mode == 0 && (select & 8)) byte = byte & 128 ? 255 : 0;
      result |= byte << (8 * k);
    }
    return result;
  });
  return in + 1;
}

const Inst* pack2(Warp& warp, const Inst* in) {  // mov.b32 d, {a16, b16}
  const u16* a = reg<u16>(warp, in->a);
  const u16* b = reg<u16>(warp, in->b);
  each<u32>(warp, in->d, [&](int i) { return static_cast<u32>(a[i]) | static_cast<u32>(b[i]) << 16; });
  return in + 1;
}
const Inst* pack4(Warp& warp, const Inst* in) {  // mov.b64 d, {a32, b32}
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  each<u64>(warp, in->d, [&](int i) { return static_cast<u64>(a[i]) | static_cast<u64>(b[i]) << 32; });
  return in + 1;
}
const Inst* pack64of16(Warp& warp, const Inst* in) {  // mov.b64 d, {a16, b16, c16, d16}
  alignas(64) u64 sum[kLanes] = {};
  for (u32 k = 0; k < 4; ++k) {
    const u16* part = reg<u16>(warp, in->list[k]);
    for (int i = 0; i < kLanes; ++i) sum[i] |= static_cast<u64>(part[i]) << (16 * k);
  }
  blend(reg<u64>(warp, in->d), sum, warp.mask);
  return in + 1;
}
template <class Whole, class Part>
const Inst* unpack(Warp& warp, const Inst* in) {  // mov.b64 {x, y}, a: destinations in the list, kFull for none
  alignas(64) Whole a[kLanes];
  std::memcpy(a, reg<Whole>(warp, in->a), sizeof a);
  for (u32 k = 0; k < in->count; ++k) {
    if (in->list[k] == kFull) continue;
    each<Part>(warp, in->list[k], [&](int i) { return static_cast<Part>(a[i] >> (8 * sizeof(Part) * k)); });
  }
  return in + 1;
}
// 128 bits: only moved, packed and unpacked.
struct Wide {
  u64 low, high;
};
const Inst* move_wide(Warp& warp, const Inst* in) {
  for (int i = 0; i < kLanes; ++i)
    if (warp.mask >> i & 1) reg<Wide>(warp, in->d)[i] = reg<Wide>(warp, in->a)[i];
  return in + 1;
}
const Inst* pack_wide(Warp& warp, const Inst* in) {
  for (int i = 0; i < kLanes; ++i)
    if (warp.mask >> i & 1) reg<Wide>(warp, in->d)[i] = {reg<u64>(warp, in->a)[i], reg<u64>(warp, in->b)[i]};
  return in + 1;
}
const Inst* unpack_wide(Warp& warp, const Inst* in) {
  for (int i = 0; i < kLanes; ++i) {
    if (!(warp.mask >> i & 1)) continue;
    const Wide value = reg<Wide>(warp, in->a)[i];
    if (in->list[0] != kFull) reg<u64>(warp, in->list[0])[i] = value.low;
    if (in->list[1] != kFull) reg<u64>(warp, in->list[1])[i] = value.high;
  }
  return in + 1;
}

template <class Whole>
const Inst* pack_bytes(Warp& warp, const Inst* in) {  // mov.b16 d, {a8, b8}: bytes in 16-bit registers
  alignas(64) Whole sum[kLanes] = {};
  for (u32 k = 0; k < sizeof(Whole); ++k) {
    const u16* part = reg<u16>(warp, in->list[k]);
    for (int i = 0; i < kLanes; ++i) sum[i] = static_cast<Whole>(sum[i] | (part[i] & 255u) << (8 * k));
  }
  blend(reg<Whole>(warp, in->d), sum, warp.mask);
  return in + 1;
}
template <class Whole>
const Inst* unpack_bytes(Warp& warp, const Inst* in) {
  alignas(64) Whole a[kLanes];
  std::memcpy(a, reg<Whole>(warp, in->a), sizeof a);
  for (u32 k = 0; k < in->count; ++k) {
    if (in->list[k] == kFull) continue;
    each<u16>(warp, in->list[k], [&](int i) { return static_cast<u16>(a[i] >> (8 * k) & 255); });
  }
  return in + 1;
}
// Between registers of unlike widths, as ld, st and cvt allow.
template <class D, class S>
const Inst* resize(Warp& warp, const Inst* in) {
  const S* a = reg<S>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(a[i]); });
  return in + 1;
}
// Local and outgoing addresses: the frame is where the split's call stack has come to.
template <class T>
const Inst* frame_address(Warp& warp, const Inst* in) {
  const T value = static_cast<T>(in->imm + warp.local);
  each<T>(warp, in->d, [&](int) { return value; });
  return in + 1;
}

template <class T>
void add_width(HandlerTable& table, const std::string& type) {
  using S = std::make_signed_t<T>;
  table["popc.b" + type] = unary<u32, T, Popc>;
  table["clz.b" + type] = unary<u32, T, Clz>;
  table["brev.b" + type] = unary<T, T, Brev>;
  table["bfind.u" + type] = unary<u32, T, Bfind<false>>;
  table["bfind.s" + type] = unary<u32, S, Bfind<false>>;
  table["bfind.shiftamt.u" + type] = unary<u32, T, Bfind<true>>;
  table["bfind.shiftamt.s" + type] = unary<u32, S, Bfind<true>>;
  table["bfe.u" + type] = extract<T>;
  table["bfe.s" + type] = extract<S>;
  table["bfi.b" + type] = insert<T>;
}

}  // namespace

void add_bits(HandlerTable& table) {
  add_width<u32>(table, "32");
  add_width<u64>(table, "64");
  table["shf.l.wrap.b32"] = funnel<true, true>;
  table["shf.l.clamp.b32"] = funnel<true, false>;
  table["shf.r.wrap.b32"] = funnel<false, true>;
  table["shf.r.clamp.b32"] = funnel<false, false>;
  table["lop3.b32"] = lop3;
  table["prmt.b32"] = permute;
  table["bmsk"] = field_mask;
  table["pack.b32"] = pack2;
  table["pack.b64"] = pack4;
  table["pack4.b64"] = pack64of16;
  table["mov.b128"] = move_wide;
  table["pack.b128"] = pack_wide;
  table["unpack.b128"] = unpack_wide;
  table["pack.bytes.16"] = pack_bytes<u16>;
  table["pack.bytes.32"] = pack_bytes<u32>;
  table["unpack.bytes.16"] = unpack_bytes<u16>;
  table["unpack.bytes.32"] = unpack_bytes<u32>;
  table["unpack.b32"] = unpack<u32, u16>;
  table["unpack.b64"] = unpack<u64, u32>;
  table["unpack4.b64"] = unpack<u64, u16>;
  table["resize.16.32"] = resize<u16, u32>;
  table["resize.16.64"] = resize<u16, u64>;
  table["resize.32.16"] = resize<u32, u16>;
  table["resize.32.64"] = resize<u32, u64>;
  table["resize.64.16"] = resize<u64, u16>;
  table["resize.64.32"] = resize<u64, u32>;
  table["frame.32"] = frame_address<u32>;
  table["frame.64"] = frame_address<u64>;
}

}  // namespace tweedie::vgpu::VGPU_ISA
