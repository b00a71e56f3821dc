// f16 and bf16 arithmetic, alone and in pairs. Sums and products are formed in float, fused ones in double rounded to
// odd, so that each result is rounded once.
#include "exec/half.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

template <class Type>
constexpr float kLeastNormal = 0x1p-14f;
template <>
constexpr float kLeastNormal<Brain> = 0x1p-126f;
template <class Type>
float flush(float x) {
  return std::fabs(x) < kLeastNormal<Type> ? std::copysign(0.0f, x) : x;
}
float saturate(float x) {
  return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
}

// clang-format off
struct Add { static float run(float a, float b, float) { return a + b; } };
struct Sub { static float run(float a, float b, float) { return a - b; } };
struct Mul { static float run(float a, float b, float) { return a * b; } };
struct Fma { static float run(float a, float b, float c) { return round_to_odd(sum_to_odd(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c))); } };
struct Min { static float run(float a, float b, float) { return a != a ? b : b != b ? a : a < b ? a : b < a ? b : std::signbit(a) ? a : b; } };
struct Max { static float run(float a, float b, float) { return a != a ? b : b != b ? a : a > b ? a : b > a ? b : std::signbit(a) ? b : a; } };
struct MinNan { static float run(float a, float b, float c) { return a != a || b != b ? __builtin_nanf("") : Min::run(a, b, c); } };
struct MaxNan { static float run(float a, float b, float c) { return a != a || b != b ? __builtin_nanf("") : Max::run(a, b, c); } };
struct Exp2 { static float run(float a, float, float) { return std::exp2(a); } };
struct Tanh { static float run(float a, float, float) { return std::tanh(a); } };
// clang-format on
template <class Op>
struct XorSign {  // of magnitudes, with the product's sign
  static float run(float a, float b, float c) {
    const float r = Op::run(std::fabs(a), std::fabs(b), c);
    return std::signbit(a) != std::signbit(b) ? -r : r;
  }
};

constexpr u8 kFlush = 1, kSaturate = 2, kRelu = 4;

template <class Type, class Op>
u16 one(u16 a, u16 b, u16 c, u8 flags) {
  float x = Type::widen(a), y = Type::widen(b), z = Type::widen(c);
  if (flags & kFlush) x = flush<Type>(x), y = flush<Type>(y), z = flush<Type>(z);
  float r = Op::run(x, y, z);
  if (flags & kSaturate) r = saturate(r);
  if (flags & kRelu) r = r > 0 || r != r ? r : 0.0f;
  if (flags & kFlush) r = flush<Type>(r);
  return Type::narrow(r);
}

template <class Type, class Op>
const Inst* scalar(Warp& warp, const Inst* in) {
  const u16* a = reg<u16>(warp, in->a);
  const u16* b = reg<u16>(warp, in->b);
  const u16* c = reg<u16>(warp, in->c);
  const u8 flags = in->flags;
  if (flags)
    each<u16>(warp, in->d, [&](int i) { return one<Type, Op>(a[i], b[i], c[i], flags); });
  else
    each<u16>(warp, in->d, [&](int i) { return one<Type, Op>(a[i], b[i], c[i], 0); });
  return in + 1;
}
template <class Type, class Op>
const Inst* pair(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32* c = reg<u32>(warp, in->c);
  const u8 flags = in->flags;
  auto both = [&](int i, u8 f) {
    const u16 low = one<Type, Op>(static_cast<u16>(a[i]), static_cast<u16>(b[i]), static_cast<u16>(c[i]), f);
    const u16 high =
        one<Type, Op>(static_cast<u16>(a[i] >> 16), static_cast<u16>(b[i] >> 16), static_cast<u16>(c[i] >> 16), f);
    return static_cast<u32>(low) | static_cast<u32>(high) << 16;
  };
  if (flags)
    each<u32>(warp, in->d, [&](int i) { return both(i, flags); });
  else
    each<u32>(warp, in->d, [&](int i) { return both(i, 0); });
  return in + 1;
}
template <bool Absolute>
const Inst* sign_pair(Warp& warp, const Inst* in) {
  const u32* a = reg<u32>(warp, in->a);
  each<u32>(warp, in->d, [&](int i) { return Absolute ? a[i] & 0x7fff7fffu : a[i] ^ 0x80008000u; });
  return in + 1;
}

template <class Type, class Op>
void add_both(HandlerTable& table, const std::string& name, const std::string& type) {
  table[name + "." + type] = scalar<Type, Op>;
  table[name + "." + type + "x2"] = pair<Type, Op>;
}
template <class Type>
void add_type(HandlerTable& table, const std::string& type) {
  add_both<Type, Add>(table, "add", type);
  add_both<Type, Sub>(table, "sub", type);
  add_both<Type, Mul>(table, "mul", type);
  add_both<Type, Fma>(table, "fma", type);
  add_both<Type, Min>(table, "min", type);
  add_both<Type, Max>(table, "max", type);
  add_both<Type, MinNan>(table, "min.nan", type);
  add_both<Type, MaxNan>(table, "max.nan", type);
  add_both<Type, XorSign<Min>>(table, "min.xorsign", type);
  add_both<Type, XorSign<Max>>(table, "max.xorsign", type);
  add_both<Type, XorSign<MinNan>>(table, "min.nan.xorsign", type);
  add_both<Type, XorSign<MaxNan>>(table, "max.nan.xorsign", type);
  add_both<Type, Exp2>(table, "ex2", type);
  add_both<Type, Tanh>(table, "tanh", type);
  table["neg." + type + "x2"] = sign_pair<false>;
  table["abs." + type + "x2"] = sign_pair<true>;
}

}  // namespace

void add_half(HandlerTable& table) {
  add_type<Half>(table, "f16");
  add_type<Brain>(table, "bf16");
}

}  // namespace tweedie::vgpu::VGPU_ISA
