// Integer arithmetic.
#include "exec/lanes.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

template <class T>
struct Wide;
template <>
struct Wide<u16> {
  using type = u32;
};
template <>
struct Wide<i16> {
  using type = i32;
};
template <>
struct Wide<u32> {
  using type = u64;
};
template <>
struct Wide<i32> {
  using type = i64;
};
template <>
struct Wide<u64> {
  using type = unsigned __int128;
};
template <>
struct Wide<i64> {
  using type = __int128;
};

template <class T>
T high(T a, T b) {
  using W = typename Wide<T>::type;
  return static_cast<T>((static_cast<W>(a) * static_cast<W>(b)) >> (8 * sizeof(T)));
}
template <class T>
T clamp_add(T a, T b) {
  T result;
  if (__builtin_add_overflow(a, b, &result))
    return b < 0 ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
  return result;
}

// clang-format off
struct Add { template <class T> static T run(T a, T b) { return static_cast<T>(a + b); } };
struct Sub { template <class T> static T run(T a, T b) { return static_cast<T>(a - b); } };
struct AddSat { template <class T> static T run(T a, T b) { return clamp_add(a, b); } };
struct SubSat { template <class T> static T run(T a, T b) {
  T r; if (__builtin_sub_overflow(a, b, &r)) return b < 0 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min(); return r; } };
struct MulLo { template <class T> static T run(T a, T b) { return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b)); } };
struct MulLo32 { static u32 run(u32 a, u32 b) { return a * b; } };
struct MulHi { template <class T> static T run(T a, T b) { return high(a, b); } };
struct MulWide { template <class T> static auto run(T a, T b) { using W = typename Wide<T>::type; return static_cast<W>(static_cast<W>(a) * static_cast<W>(b)); } };
struct Mul24Lo { template <class T> static T run(T a, T b) { constexpr int s = 8; return static_cast<T>((T(u32(a) << s) >> s) * i64(T(u32(b) << s) >> s)); } };
struct Mul24Hi { template <class T> static T run(T a, T b) { constexpr int s = 8; return static_cast<T>((i64(T(u32(a) << s) >> s) * i64(T(u32(b) << s) >> s)) >> 16); } };
struct MadLo { template <class T> static T run(T a, T b, T c) { return static_cast<T>(a * b + c); } };
struct MadHi { template <class T> static T run(T a, T b, T c) { return static_cast<T>(high(a, b) + c); } };
struct MadHiSat { static i32 run(i32 a, i32 b, i32 c) { return clamp_add(high(a, b), c); } };
struct MadWide { template <class T, class C> static C run(T a, T b, C c) { using W = typename Wide<T>::type; return static_cast<C>(static_cast<W>(a) * static_cast<W>(b) + c); } };
struct Mad24Lo { template <class T> static T run(T a, T b, T c) { return static_cast<T>(Mul24Lo::run(a, b) + c); } };
struct Mad24Hi { template <class T> static T run(T a, T b, T c) { return static_cast<T>(Mul24Hi::run(a, b) + c); } };
struct Mad24HiSat { static i32 run(i32 a, i32 b, i32 c) { return clamp_add(Mul24Hi::run(a, b), c); } };
struct Relu { template <class T> static T run(T a) { return a < 0 ? T(0) : a; } };
struct Sad { template <class T> static T run(T a, T b, T c) { return static_cast<T>(c + (a < b ? b - a : a - b)); } };
struct Div { template <class T> static T run(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>) if (b == -1) return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a));
  return static_cast<T>(a / b); } };
struct Rem { template <class T> static T run(T a, T b) {
  if (b == 0) return static_cast<T>(a);
  if constexpr (std::is_signed_v<T>) if (b == -1) return 0;
  return static_cast<T>(a % b); } };
struct Min { template <class T> static T run(T a, T b) { return a < b ? a : b; } };
struct Max { template <class T> static T run(T a, T b) { return a < b ? b : a; } };
struct And { template <class T> static T run(T a, T b) { return a & b; } };
struct Or { template <class T> static T run(T a, T b) { return a | b; } };
struct Xor { template <class T> static T run(T a, T b) { return a ^ b; } };
struct Not { template <class T> static T run(T a) { return static_cast<T>(~a); } };
struct Cnot { template <class T> static T run(T a) { return a == 0; } };
struct Neg { template <class T> static T run(T a) { return static_cast<T>(0 - a); } };
struct Abs { template <class T> static T run(T a) { return static_cast<T>(a < 0 ? 0 - static_cast<std::make_unsigned_t<T>>(a) : a); } };
struct Mov { template <class T> static T run(T a) { return a; } };
// clang-format on

// Shifts take a 32-bit amount and clamp it at the width.
template <class T, bool Left>
const Inst* shift(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  constexpr u32 width = 8 * sizeof(T);
  using U = std::make_unsigned_t<T>;
  using W = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, i32, u32>, T>;
  each<T>(warp, in->d, [&](int i) {
    const u32 amount = b[i];
    if constexpr (Left)
      return static_cast<T>(amount >= width ? 0 : static_cast<U>(static_cast<W>(a[i]) << (amount & (width - 1))));
    const u32 clamped = amount >= width ? width - 1 : amount;
    const W moved = static_cast<W>(a[i]) >> clamped;
    if constexpr (std::is_signed_v<T>) return static_cast<T>(moved);
    return static_cast<T>(amount >= width ? 0 : moved);
  });
  return in + 1;
}

// Two 16-bit elements in a register.
template <class T, class Op>
const Inst* pair(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  each<u32>(warp, in->d, [&](int i) {
    const u32 low = static_cast<u16>(Op::run(static_cast<T>(a[i]), static_cast<T>(b[i])));
    const u32 high = static_cast<u16>(Op::run(static_cast<T>(a[i] >> 16), static_cast<T>(b[i] >> 16)));
    return low | high << 16;
  });
  return in + 1;
}
const Inst* relu_pair(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  each<u32>(warp, in->d,
            [&](int i) { return (a[i] & 0x8000u ? 0u : a[i] & 0xffffu) | (a[i] >> 31 ? 0u : a[i] & 0xffff0000u); });
  return in + 1;
}

template <class A, class B, int Parts>
const Inst* dot(Warp& warp, const Inst* in) {  // dp4a and dp2a; flags: the high half of b
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const i32* c = reg<i32>(warp, in->c);
  const u32 skip = in->flags ? 2 : 0;
  each<i32>(warp, in->d, [&](int i) {
    u32 sum = static_cast<u32>(c[i]);
    for (u32 k = 0; k < Parts; ++k) {
      if constexpr (Parts == 4)
        sum += static_cast<u32>(static_cast<i32>(static_cast<A>(a[i] >> (8 * k))) *
                                static_cast<i32>(static_cast<B>(b[i] >> (8 * k))));
      else
        sum += static_cast<u32>(
            static_cast<i32>(static_cast<std::conditional_t<std::is_signed_v<A>, i16, u16>>(a[i] >> (16 * k))) *
            static_cast<i32>(static_cast<B>(b[i] >> (8 * (k + skip)))));
    }
    return static_cast<i32>(sum);
  });
  return in + 1;
}

// Additions with carry: the flag lives in the register whose offset is in `extra`. As on hardware, which adds the
// complement, a subtraction sets it where it did not borrow: nvcc's division of 128 bits reads it with addc.
template <class T, bool Subtract, bool In, bool Out>
const Inst* carry(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  u32& flag = *reinterpret_cast<u32*>(warp.regs + in->extra);
  u32 next = flag;
  T* d = reg<T>(warp, in->d);
  for (int i = 0; i < kLanes; ++i) {
    if (!(warp.mask >> i & 1)) continue;
    const T x = a[i], y = b[i];
    const T set = flag >> i & 1, extra = In ? Subtract ? 1 - set : set : 0;
    T result;
    bool over;
    if (Subtract) {
      over = __builtin_sub_overflow(x, y, &result);
      over |= __builtin_sub_overflow(result, extra, &result);
      over = !over;
    } else {
      over = __builtin_add_overflow(x, y, &result);
      over |= __builtin_add_overflow(result, extra, &result);
    }
    d[i] = result;
    next = (next & ~(1u << i)) | static_cast<u32>(over) << i;
  }
  if (Out) flag = next;
  return in + 1;
}
template <class T, bool High, bool In, bool Out>
const Inst* mad_carry(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  const T* c = reg<T>(warp, in->c);
  u32& flag = *reinterpret_cast<u32*>(warp.regs + in->extra);
  u32 next = flag;
  T* d = reg<T>(warp, in->d);
  for (int i = 0; i < kLanes; ++i) {
    if (!(warp.mask >> i & 1)) continue;
    const T product = High ? high(a[i], b[i]) : static_cast<T>(a[i] * b[i]);
    T result;
    bool over = __builtin_add_overflow(product, c[i], &result);
    if (In) over |= __builtin_add_overflow(result, static_cast<T>(flag >> i & 1), &result);
    d[i] = result;
    next = (next & ~(1u << i)) | static_cast<u32>(over) << i;
  }
  if (Out) flag = next;
  return in + 1;
}

template <class T>
void add_common(HandlerTable& table, const std::string& type) {
  using S = std::make_signed_t<T>;
  const std::string u = "u" + type, s = "s" + type, b = "b" + type;
  for (const auto& t : {u, s, b}) {
    table["add." + t] = binary<T, T, Add>;
    table["sub." + t] = binary<T, T, Sub>;
    table["mul.lo." + t] = binary<T, T, MulLo>;
    table["mad.lo." + t] = ternary<T, T, T, MadLo>;
    table["and." + t] = binary<T, T, And>;
    table["or." + t] = binary<T, T, Or>;
    table["xor." + t] = binary<T, T, Xor>;
    table["not." + t] = unary<T, T, Not>;
    table["cnot." + t] = unary<T, T, Cnot>;
    table["neg." + t] = unary<T, T, Neg>;
    table["shl." + t] = shift<T, true>;
    table["mov." + t] = unary<T, T, Mov>;
  }
  table["abs." + s] = unary<S, S, Abs>;
  table["shr." + u] = table["shr." + b] = shift<T, false>;
  table["shr." + s] = shift<S, false>;
  table["mul.hi." + u] = binary<T, T, MulHi>;
  table["mul.hi." + s] = binary<S, S, MulHi>;
  table["mad.hi." + u] = ternary<T, T, T, MadHi>;
  table["mad.hi." + s] = ternary<S, S, S, MadHi>;
  table["div." + u] = binary<T, T, Div>;
  table["div." + s] = binary<S, S, Div>;
  table["rem." + u] = binary<T, T, Rem>;
  table["rem." + s] = binary<S, S, Rem>;
  table["min." + u] = binary<T, T, Min>;
  table["min." + s] = binary<S, S, Min>;
  table["max." + u] = binary<T, T, Max>;
  table["max." + s] = binary<S, S, Max>;
  table["sad." + u] = ternary<T, T, T, Sad>;
  table["sad." + s] = ternary<S, S, S, Sad>;
}
template <class T>
void add_wide(HandlerTable& table, const std::string& type) {
  using W = typename Wide<T>::type;
  table["mul.wide." + type] = binary<W, T, MulWide>;
  table["mad.wide." + type] = ternary<W, T, W, MadWide>;
}
template <class T>
void add_carries(HandlerTable& table, const std::string& type) {
  for (const char sign : {'u', 's'}) {
    const std::string t = sign + type;
    table["add.cc." + t] = carry<T, false, false, true>;
    table["addc." + t] = carry<T, false, true, false>;
    table["addc.cc." + t] = carry<T, false, true, true>;
    table["sub.cc." + t] = carry<T, true, false, true>;
    table["subc." + t] = carry<T, true, true, false>;
    table["subc.cc." + t] = carry<T, true, true, true>;
    table["mad.lo.cc." + t] = mad_carry<T, false, false, true>;
    table["madc.lo." + t] = mad_carry<T, false, true, false>;
    table["madc.lo.cc." + t] = mad_carry<T, false, true, true>;
  }
  table["mad.hi.cc.u" + type] = mad_carry<T, true, false, true>;
  table["madc.hi.u" + type] = mad_carry<T, true, true, false>;
  table["madc.hi.cc.u" + type] = mad_carry<T, true, true, true>;
}

}  // namespace

void add_integer(HandlerTable& table) {
  add_common<u16>(table, "16");
  add_common<u32>(table, "32");
  add_common<u64>(table, "64");
  add_wide<u16>(table, "u16");
  add_wide<i16>(table, "s16");
  add_wide<u32>(table, "u32");
  add_wide<i32>(table, "s32");
  add_carries<u32>(table, "32");
  add_carries<u64>(table, "64");
  // 16-bit products need care: they are formed in int.
  table["mul.lo.u32"] = table["mul.lo.s32"] = binary<u32, u32, MulLo32>;
  table["mov.f32"] = table["mov.b32"];
  table["mov.f64"] = table["mov.b64"];
  table["mov.f16"] = table["mov.bf16"] = table["mov.b16"];
  table["mov.f16x2"] = table["mov.b32"];
  table["add.sat.s32"] = binary<i32, i32, AddSat>;
  table["sub.sat.s32"] = binary<i32, i32, SubSat>;
  table["mad.hi.sat.s32"] = ternary<i32, i32, i32, MadHiSat>;
  table["mul24.lo.u32"] = binary<u32, u32, Mul24Lo>;
  table["mul24.lo.s32"] = binary<i32, i32, Mul24Lo>;
  table["mul24.hi.u32"] = binary<u32, u32, Mul24Hi>;
  table["mul24.hi.s32"] = binary<i32, i32, Mul24Hi>;
  table["mad24.lo.u32"] = ternary<u32, u32, u32, Mad24Lo>;
  table["mad24.lo.s32"] = ternary<i32, i32, i32, Mad24Lo>;
  table["mad24.hi.u32"] = ternary<u32, u32, u32, Mad24Hi>;
  table["mad24.hi.s32"] = ternary<i32, i32, i32, Mad24Hi>;
  table["mad24.hi.sat.s32"] = ternary<i32, i32, i32, Mad24HiSat>;
  table["relu.s32"] = unary<i32, i32, Relu>;
  table["relu.s16x2"] = relu_pair;
  table["add.u16x2"] = table["add.s16x2"] = pair<u16, Add>;
  table["min.u16x2"] = pair<u16, Min>;
  table["max.u16x2"] = pair<u16, Max>;
  table["min.s16x2"] = pair<i16, Min>;
  table["max.s16x2"] = pair<i16, Max>;
  table["dp4a.u32.u32"] = dot<u8, u8, 4>;
  table["dp4a.u32.s32"] = dot<u8, i8, 4>;
  table["dp4a.s32.u32"] = dot<i8, u8, 4>;
  table["dp4a.s32.s32"] = dot<i8, i8, 4>;
  table["dp2a.u32.u32"] = dot<u8, u8, 2>;
  table["dp2a.u32.s32"] = dot<u8, i8, 2>;
  table["dp2a.s32.u32"] = dot<i8, u8, 2>;
  table["dp2a.s32.s32"] = dot<i8, i8, 2>;
}

}  // namespace tweedie::vgpu::VGPU_ISA
