// Instructions that are rare enough to go a lane at a time: the SIMD video family (vadd4, vabsdiff2 ...), fns, szext.
#include <algorithm>

#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

enum VideoKind : u8 { kAdd, kSub, kAverage, kAbsoluteDifference, kMin, kMax };

i32 element(u32 word, u32 k, u32 bits, bool is_signed) {
  const u32 top = word << (32 - bits * (k + 1));
  return is_signed ? static_cast<i32>(top) >> (32 - bits) : static_cast<i32>(top >> (32 - bits));
}
i32 combine(u8 kind, i32 a, i32 b) {
  switch (kind) {
    case kAdd:
      return a + b;
    case kSub:
      return a - b;
    case kAverage:
      return (a + b + (a + b >= 0)) >> 1;  // halves away from zero
    case kAbsoluteDifference:
      return std::abs(a - b);
    case kMin:
      return std::min(a, b);
    default:
      return std::max(a, b);
  }
}

// count: 2 or 4 elements; kind: what to do; flags: 1 d signed, 2 a signed, 4 b signed, 8 saturate, 16 add all to c.
const Inst* video(Warp& warp, const Inst* in) {
  const u32 bits = 32u / in->count;
  const i32 low = in->flags & 1 ? -(1 << (bits - 1)) : 0,
            high = in->flags & 1 ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  for_active(warp, [&](u32 i) {
    u32 sum = reg<u32>(warp, in->c)[i], packed = 0;
    for (u32 k = 0; k < in->count; ++k) {
      i32 value = combine(in->kind, element(reg<u32>(warp, in->a)[i], k, bits, in->flags & 2),
                          element(reg<u32>(warp, in->b)[i], k, bits, in->flags & 4));
      if (in->flags & 8) value = std::clamp(value, low, high);
      sum += static_cast<u32>(value);
      packed |= (static_cast<u32>(value) & ((1u << bits) - 1)) << (k * bits);
    }
    reg<u32>(warp, in->d)[i] = in->flags & 16 ? sum : packed;
  });
  return in + 1;
}

// fns: the position of the n-th set bit of a from bit b upwards (c > 0) or downwards (c < 0).
const Inst* find_nth_set(Warp& warp, const Inst* in) {
  for_active(warp, [&](u32 i) {
    const u32 mask = reg<u32>(warp, in->a)[i], base = reg<u32>(warp, in->b)[i];
    const i32 n = reg<i32>(warp, in->c)[i];
    u32 found = kFull;
    const i32 step = n < 0 ? -1 : 1;
    i32 left = n == 0 ? 1 : std::abs(n);
    for (i32 at = static_cast<i32>(base & 31); at >= 0 && at < 32; at += step) {
      if (mask >> at & 1) {
        if (--left == 0) found = static_cast<u32>(at);
      }
      if (n == 0) break;
    }
    reg<u32>(warp, in->d)[i] = found;
  });
  return in + 1;
}

// szext: sign- or zero-extends the low b bits of a. flags: 1 signed, 2 wrap instead of clamp.
const Inst* extend(Warp& warp, const Inst* in) {
  for_active(warp, [&](u32 i) {
    const u32 a = reg<u32>(warp, in->a)[i], b = reg<u32>(warp, in->b)[i];
    const u32 width = in->flags & 2 ? b & 31 : std::min(b, 32u);
    u32 result = a;
    if (width == 0)
      result = 0;
    else if (width < 32)
      result = in->flags & 1 ? static_cast<u32>(static_cast<i32>(a << (32 - width)) >> (32 - width))
                             : a & ((1u << width) - 1);
    reg<u32>(warp, in->d)[i] = result;
  });
  return in + 1;
}

}  // namespace

void add_video(HandlerTable& table) {
  table["video"] = video;
  table["fns"] = find_nth_set;
  table["szext"] = extend;
}

}  // namespace tweedie::vgpu
