// Elements of 8 bits and less, a lane at a time: conversions of 8-bit floats, and mma of them, of 4-bit integers and
// bits.
#include "exec/narrow.h"

#include "exec/gather.h"
#include "exec/half.h"
#include "exec/handlers.h"

namespace tweedie::vgpu {
namespace {

using isa_baseline::bit_cast;
using isa_baseline::Half;

const Narrow& format_of(bool e5m2) {
  return e5m2 ? kE5m2 : kE4m3;
}

// Two floats (a in the upper byte; flags 2: both halves of a) to bytes. flags: 1 e5m2, 4 relu.
const Inst* narrow_pair(Warp& warp, const Inst* in) {
  const Narrow& format = format_of(in->flags & 1);
  const auto convert = [&](float value) { return narrow(format, in->flags & 4 && value <= 0 ? 0.0f : value); };
  for_active(warp, [&](u32 i) {
    const u32 bits = reg<u32>(warp, in->a)[i];
    const bool halves = in->flags & 2;
    const float upper = halves ? Half::widen(static_cast<u16>(bits >> 16)) : bit_cast<float>(bits);
    const float lower = halves ? Half::widen(static_cast<u16>(bits)) : reg<float>(warp, in->b)[i];
    reg<u16>(warp, in->d)[i] = static_cast<u16>(convert(upper) << 8 | convert(lower));
  });
  return in + 1;
}
// Two bytes to halves, which hold every value. flags: 1 e5m2, 4 relu.
const Inst* widen_pair(Warp& warp, const Inst* in) {
  const Narrow& format = format_of(in->flags & 1);
  const auto convert = [&](int byte) {
    const float value = widen(format, static_cast<u8>(byte));
    return static_cast<u32>(Half::narrow(in->flags & 4 && value <= 0 ? 0.0f : value));
  };
  for_active(warp, [&](u32 i) {
    const u16 bytes = reg<u16>(warp, in->a)[i];
    reg<u32>(warp, in->d)[i] = convert(bytes >> 8) << 16 | convert(bytes & 255);
  });
  return in + 1;
}

enum Element : u8 { kS4, kU4, kB1, kE4m3Element, kE5m2Element };

double value_of(u8 type, u32 word, u32 k) {
  switch (type) {
    case kS4:
      return static_cast<i32>(word << (28 - 4 * k)) >> 28;
    case kU4:
      return word >> (4 * k) & 15;
    default:
      return widen(format_of(type == kE5m2Element), static_cast<u8>(word >> (8 * k)));
  }
}
double dot(const Inst* in, u32 a, u32 b) {
  if (in->kind == kB1) return __builtin_popcount(in->flags & 16 ? a ^ b : a & b);
  const u32 elements = in->kind <= kU4 ? 8 : 4;
  double sum = 0;
  for (u32 k = 0; k < elements; ++k) sum += value_of(in->kind, a, k) * value_of(in->bytes, b, k);
  return sum;
}

// list: D, A, B, C; the words of A and B stand as in every m16n8 or m8n8 shape (exec/matrix.cpp). kind: type of A,
// bytes: of B; count: blocks of four words along k; flags: 1 C in half, 2 D in half, 4 only 8 rows, 8 saturate, 16 xor.
const Inst* multiply(Warp& warp, const Inst* in) {
  if (!gather_warp(warp, in)) return nullptr;
  const u32 halves = in->flags & 4 ? 1 : 2, blocks = in->count;
  const u32 d_registers = halves * (in->flags & 2 ? 1 : 2);
  const u32* a = in->list + d_registers;
  const u32* b = a + halves * blocks;
  const u32* c = b + blocks;
  const bool integers = in->kind <= kB1;
  u32 results[4][kLanes] = {};
  for (u32 r = 0; r < 2 * halves; ++r)
    for (u32 i = 0; i < kLanes; ++i) {
      const u32 row = i / 4, column = 2 * (i % 4) + r % 2;
      double sum = 0;  // exact for integers
      for (u32 block = 0; block < blocks; ++block)
        for (u32 w = 0; w < 4; ++w)
          sum +=
              dot(in, reg<u32>(warp, a[block * halves + r / 2])[4 * row + w], reg<u32>(warp, b[block])[4 * column + w]);
      if (integers) {
        const i64 whole = static_cast<i64>(sum) + reg<i32>(warp, c[r])[i];
        results[r][i] = static_cast<u32>(
            in->flags & 8 ? std::clamp<i64>(whole, std::numeric_limits<i32>::min(), std::numeric_limits<i32>::max())
                          : whole);
        continue;
      }
      sum += in->flags & 1 ? Half::widen(static_cast<u16>(reg<u32>(warp, c[r / 2])[i] >> (16 * (r % 2))))
                           : reg<float>(warp, c[r])[i];
      if (in->flags & 2)
        results[r / 2][i] |= static_cast<u32>(Half::narrow(static_cast<float>(sum))) << (16 * (r % 2));
      else
        results[r][i] = bit_cast<u32>(static_cast<float>(sum));
    }
  for (u32 r = 0; r < d_registers; ++r) std::copy_n(results[r], kLanes, reg<u32>(warp, in->list[r]));
  return in + 1;
}

}  // namespace

void add_narrow(HandlerTable& table) {
  table["cvt.narrow.pair"] = narrow_pair;
  table["cvt.widen.pair"] = widen_pair;
  table["mma.narrow"] = multiply;
}

}  // namespace tweedie::vgpu
