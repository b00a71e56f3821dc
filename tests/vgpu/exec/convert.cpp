// cvt. Float to integer rounds as told, clamps to the range and makes a NaN 0.
#include <algorithm>

#include "exec/half.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

// clang-format off
struct Nearest { template <class T> static T run(T a) { return std::nearbyint(a); } };
struct Zero { template <class T> static T run(T a) { return std::trunc(a); } };
struct Down { template <class T> static T run(T a) { return std::floor(a); } };
struct Up { template <class T> static T run(T a) { return std::ceil(a); } };
// clang-format on

template <class S>
struct Source {
  using Storage = S;
  static S get(S s) { return s; }
};
template <>
struct Source<Half> {
  using Storage = u16;
  static float get(u16 s) { return Half::widen(s); }
};
template <>
struct Source<Brain> {
  using Storage = u16;
  static float get(u16 s) { return Brain::widen(s); }
};

template <class I, class F>
I to_integer(F value) {
  constexpr F top = static_cast<F>(static_cast<F>(u64(1) << (8 * sizeof(I) - (std::is_signed_v<I> ? 2 : 1))) * 2);
  constexpr F bottom = std::is_signed_v<I> ? -top : F(0);
  const bool low = !(value > bottom), high = value >= top;
  const F inside = low || high ? F(0) : value;
  I result;
  if constexpr (std::is_same_v<I, u64>) {  // x86 before AVX-512 lacks it, and the compiler's way is exact
    result = static_cast<u64>(inside);
  } else if constexpr (sizeof(I) < 4) {
    result = static_cast<I>(static_cast<i32>(inside));
  } else {
    result = static_cast<I>(inside);
  }
  result = low ? static_cast<I>(std::numeric_limits<I>::min()) : result;
  result = high ? std::numeric_limits<I>::max() : result;
  // A NaN becomes 0 between 32-bit types, and the top bit alone where a 64-bit one takes part.
  constexpr bool wide = sizeof(I) == 8 || sizeof(F) == 8;
  constexpr I nan = wide ? static_cast<I>(std::make_unsigned_t<I>(1) << (8 * sizeof(I) - 1)) : I(0);
  return value != value ? nan : result;
}

// The destination register may be wider than the type: signed results are extended by sign, others by zeros.
template <class I, class D, class S, class Mode>
const Inst* float_to_integer(Warp& warp, const Inst* in) {
  const auto* a = reg<typename Source<S>::Storage>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(to_integer<I>(Mode::run(Source<S>::get(a[i])))); });
  return in + 1;
}
template <class F, class I>
const Inst* integer_to_float(Warp& warp, const Inst* in) {
  const I* a = reg<I>(warp, in->a);
  each<F>(warp, in->d, [&](int i) { return static_cast<F>(a[i]); });
  return in + 1;
}
template <class D, class S>
const Inst* float_to_float(Warp& warp, const Inst* in) {
  const S* a = reg<S>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(a[i]); });
  return in + 1;
}
template <class T, class Mode>
const Inst* round_float(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  each<T>(warp, in->d, [&](int i) { return Mode::run(a[i]); });
  return in + 1;
}
template <class Type, class Mode>
const Inst* round_half(Warp& warp, const Inst* in) {
  const u16* a = reg<u16>(warp, in->a);
  each<u16>(warp, in->d, [&](int i) { return Type::narrow(Mode::run(Type::widen(a[i]))); });
  return in + 1;
}
template <class Type, class D>
const Inst* widen(Warp& warp, const Inst* in) {
  const u16* a = reg<u16>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(Type::widen(a[i])); });
  return in + 1;
}

// Narrowing with a direction: the float nearest in it is found from the round-to-nearest result.
template <class Type>
u16 narrow_towards(float x, int mode) {  // 0 nearest, 1 zero, 2 down, 3 up
  const u16 nearest = Type::narrow(x);
  if (mode == 0 || x != x) return nearest;
  const float back = Type::widen(nearest);
  const bool negative = std::signbit(x);
  const bool smaller = mode == 1 || (mode == 2) != negative;  // towards smaller magnitude
  const u16 magnitude = nearest & 0x7fff;
  if (smaller && std::fabs(back) > std::fabs(x)) return nearest - 1;
  if (!smaller && std::fabs(back) < std::fabs(x)) return static_cast<u16>((nearest & 0x8000) | (magnitude + 1));
  return nearest;
}
// An integer as a double that is odd where bits were lost.
template <class I>
double integer_to_odd(I value) {
  if constexpr (sizeof(I) < 8) return static_cast<double>(value);
  bool negative = false;
  if constexpr (std::is_signed_v<I>) negative = value < 0;
  const u64 magnitude = negative ? 0 - static_cast<u64>(value) : static_cast<u64>(value);
  const u64 lost = magnitude >> 53 ? 0x7ffu : 0u;  // of 64 bits, 53 and a sticky one at most are wanted
  const u64 kept = (magnitude & ~lost) | (magnitude & lost ? lost + 1 : 0u);
  return static_cast<double>(kept) * (negative ? -1.0 : 1.0);
}
template <class Type, class I>
const Inst* integer_to_half(Warp& warp, const Inst* in) {  // flags: the mode, as below
  const I* a = reg<I>(warp, in->a);
  const int mode = in->flags & 3;
  each<u16>(warp, in->d, [&](int i) { return narrow_towards<Type>(round_to_odd(integer_to_odd(a[i])), mode); });
  return in + 1;
}
template <class Type, class S>
const Inst* narrow(Warp& warp, const Inst* in) {  // flags: mode, 4 for relu, 8 for saturation to [0, 1]
  const S* a = reg<S>(warp, in->a);
  const u8 flags = in->flags;
  auto convert = [&](S value) {
    float x = std::is_same_v<S, double> ? round_to_odd(value) : static_cast<float>(value);
    if (flags & 4) x = x > 0 || x != x ? x : 0.0f;
    if (flags & 8) x = x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
    return narrow_towards<Type>(x, flags & 3);
  };
  if (flags == 0)
    each<u16>(warp, in->d, [&](int i) {
      return Type::narrow(std::is_same_v<S, double> ? round_to_odd(a[i]) : static_cast<float>(a[i]));
    });
  else
    each<u16>(warp, in->d, [&](int i) { return convert(a[i]); });
  return in + 1;
}
template <class Type>
const Inst* narrow_pair(Warp& warp, const Inst* in) {  // d = {a in the high half, b in the low one}
  const float* a = reg<float>(warp, in->a);
  const float* b = reg<float>(warp, in->b);
  const u8 flags = in->flags;
  auto convert = [&](float x) {
    if (flags & 4) x = x > 0 || x != x ? x : 0.0f;
    return static_cast<u32>(narrow_towards<Type>(x, flags & 3));
  };
  if (flags == 0)
    each<u32>(warp, in->d,
              [&](int i) { return static_cast<u32>(Type::narrow(b[i])) | static_cast<u32>(Type::narrow(a[i])) << 16; });
  else
    each<u32>(warp, in->d, [&](int i) { return convert(b[i]) | convert(a[i]) << 16; });
  return in + 1;
}
const Inst* pack(Warp& warp, const Inst* in) {  // count: bits of an element; flags: 1 for a signed one
  const i32* a = reg<i32>(warp, in->a);
  const i32* b = reg<i32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  const u32 bits = in->count, mask = (1u << bits) - 1;
  const i32 low = in->flags ? -(1 << (bits - 1)) : 0, high = in->flags ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  each<u32>(warp, in->d, [&](int i) {
    const u32 upper = static_cast<u32>(std::clamp(a[i], low, high)) & mask;
    const u32 lower = static_cast<u32>(std::clamp(b[i], low, high)) & mask;
    return (bits == 16 ? 0u : c[i] << (2 * bits)) | upper << bits | lower;
  });
  return in + 1;
}
const Inst* to_tf32(Warp& warp, const Inst* in) {  // cvt.rna.tf32.f32: to 10 bits, ties away
  const u32* a = reg<u32>(warp, in->a);
  const bool even = in->flags == 1;
  each<u32>(warp, in->d, [&](int i) {
    const u32 bits = a[i];
    const bool special = (bits & 0x7f800000) == 0x7f800000;
    const u32 half = even ? 0xfff + (bits >> 13 & 1) : 0x1000;
    return special ? bits : (bits + half) & 0xffffe000u;
  });
  return in + 1;
}

// Integer to integer: narrow to the destination type (clamped with .sat), then extend to the register.
template <class D, class To, class S>
const Inst* integer(Warp& warp, const Inst* in) {
  const S* a = reg<S>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(static_cast<To>(a[i])); });
  return in + 1;
}

// Every rarer conversion to an integer, a lane at a time. The source is described by `bytes` and `flags` (1 signed, 2
// float, 4 bfloat16), the destination by `space` bytes (signed if flags & 8) in a register of `count` bytes.
const Inst* general(Warp& warp, const Inst* in) {
  const int source_bytes = in->bytes, target_bits = 8 * in->space;
  const bool is_signed = in->flags & 8;
  const __int128 top = (__int128(1) << (is_signed ? target_bits - 1 : target_bits)) - 1;
  const __int128 bottom = is_signed ? -top - 1 : 0;
  for (int i = 0; i < kLanes; ++i) {
    if (!(warp.mask >> i & 1)) continue;
    u64 bits = 0;
    std::memcpy(&bits, warp.regs + in->a + i * source_bytes, source_bytes);
    __int128 value = 0;
    if (in->flags & 2) {
      double x = 0;
      if (source_bytes == 2)
        x = in->flags & 4 ? Brain::widen(static_cast<u16>(bits)) : Half::widen(static_cast<u16>(bits));
      if (source_bytes == 4) x = bit_cast<float>(static_cast<u32>(bits));
      if (source_bytes == 8) x = bit_cast<double>(bits);
      x = in->kind == 0   ? std::nearbyint(x)
          : in->kind == 1 ? std::trunc(x)
          : in->kind == 2 ? std::floor(x)
                          : std::ceil(x);
      const bool wide = source_bytes == 8 || target_bits == 64;
      value = x != x          ? (wide ? __int128(is_signed ? -1 : 1) << (target_bits - 1) : 0)
              : x >= 0x1p100  ? top
              : x <= -0x1p100 ? bottom
                              : static_cast<__int128>(x);
    } else {
      value = in->flags & 1
                  ? static_cast<__int128>(static_cast<i64>(bits << (64 - 8 * source_bytes)) >> (64 - 8 * source_bytes))
                  : static_cast<__int128>(bits);
    }
    value = value < bottom ? bottom : value > top ? top : value;
    const u64 result = static_cast<u64>(value);
    std::memcpy(warp.regs + in->d + i * in->count, &result, in->count);
  }
  return in + 1;
}

// Keys: cvt.<mode>.<destination type>.<destination register bits>.<source type>; source registers have the type's own
// width (16 for 8-bit types, whose values a truncation has already cut out).
template <class I, class D, class S>
void add_modes(HandlerTable& table, const std::string& to, const std::string& from) {
  table["cvt.rni." + to + "." + from] = float_to_integer<I, D, S, Nearest>;
  table["cvt.rzi." + to + "." + from] = float_to_integer<I, D, S, Zero>;
  table["cvt.rmi." + to + "." + from] = float_to_integer<I, D, S, Down>;
  table["cvt.rpi." + to + "." + from] = float_to_integer<I, D, S, Up>;
}
template <class I>
void add_from_float(HandlerTable& table, const std::string& to) {
  add_modes<I, I, float>(table, to, "f32");
  add_modes<I, I, double>(table, to, "f64");
}
template <class I>
void add_to_float(HandlerTable& table, const std::string& from) {
  table["cvt.f32." + from] = integer_to_float<float, I>;
  table["cvt.f64." + from] = integer_to_float<double, I>;
  table["cvt.f16." + from] = integer_to_half<Half, I>;
  table["cvt.bf16." + from] = integer_to_half<Brain, I>;
}
template <class D, class To, class S>
void add_pair(HandlerTable& table, const std::string& to, const std::string& from) {
  table["cvt." + to + "." + from] = integer<D, To, S>;
}
template <class D, class To>
void add_to(HandlerTable& table, const std::string& to) {
  add_pair<D, To, u16>(table, to, "u16");
  add_pair<D, To, i16>(table, to, "s16");
  add_pair<D, To, u32>(table, to, "u32");
  add_pair<D, To, i32>(table, to, "s32");
  add_pair<D, To, u64>(table, to, "u64");
  add_pair<D, To, i64>(table, to, "s64");
}
}  // namespace

void add_convert(HandlerTable& table) {
  add_to<u16, u8>(table, "u8.16");
  add_to<u16, i8>(table, "s8.16");
  add_to<u32, u8>(table, "u8.32");
  add_to<u32, i8>(table, "s8.32");
  add_to<u16, u16>(table, "u16.16");
  add_to<u16, i16>(table, "s16.16");
  add_to<u32, u16>(table, "u16.32");
  add_to<u32, i16>(table, "s16.32");
  add_to<u32, u32>(table, "u32.32");
  add_to<u64, u64>(table, "u64.64");
  table["cvt.general"] = general;
  table["cvt.pack"] = pack;
  for (const std::string from : {"u16", "s16", "u32", "s32", "u64", "s64"}) {
    table["cvt.s32.32." + from] = table["cvt.u32.32." + from];
    table["cvt.s64.64." + from] = table["cvt.u64.64." + from];
  }
  add_from_float<u32>(table, "u32.32");
  add_from_float<i32>(table, "s32.32");
  add_from_float<u64>(table, "u64.64");
  add_from_float<i64>(table, "s64.64");
  add_to_float<u16>(table, "u16");
  add_to_float<i16>(table, "s16");
  add_to_float<u32>(table, "u32");
  add_to_float<i32>(table, "s32");
  add_to_float<u64>(table, "u64");
  add_to_float<i64>(table, "s64");
  table["cvt.f32.f64"] = float_to_float<float, double>;
  table["cvt.f64.f32"] = float_to_float<double, float>;
  table["cvt.f32.f32"] = float_to_float<float, float>;
  table["cvt.f64.f64"] = float_to_float<double, double>;
  table["cvt.f32.f16"] = widen<Half, float>;
  table["cvt.f64.f16"] = widen<Half, double>;
  table["cvt.f32.bf16"] = widen<Brain, float>;
  table["cvt.f64.bf16"] = widen<Brain, double>;
  table["cvt.f16.f32"] = narrow<Half, float>;
  table["cvt.f16.f64"] = narrow<Half, double>;
  table["cvt.bf16.f32"] = narrow<Brain, float>;
  table["cvt.bf16.f64"] = narrow<Brain, double>;
  table["cvt.f16x2.f32"] = narrow_pair<Half>;
  table["cvt.bf16x2.f32"] = narrow_pair<Brain>;
  table["cvt.tf32.f32"] = to_tf32;
  const auto add_round = [&](const std::string& mode, Handler f32, Handler f64, Handler f16, Handler bf16) {
    table["cvt." + mode + ".f32.f32"] = f32;
    table["cvt." + mode + ".f64.f64"] = f64;
    table["cvt." + mode + ".f16.f16"] = f16;
    table["cvt." + mode + ".bf16.bf16"] = bf16;
  };
  add_round("rni", round_float<float, Nearest>, round_float<double, Nearest>, round_half<Half, Nearest>,
            round_half<Brain, Nearest>);
  add_round("rzi", round_float<float, Zero>, round_float<double, Zero>, round_half<Half, Zero>,
            round_half<Brain, Zero>);
  add_round("rmi", round_float<float, Down>, round_float<double, Down>, round_half<Half, Down>,
            round_half<Brain, Down>);
  add_round("rpi", round_float<float, Up>, round_float<double, Up>, round_half<Half, Up>, round_half<Brain, Up>);
}

}  // namespace tweedie::vgpu::VGPU_ISA
