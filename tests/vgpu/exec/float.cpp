// float32 and float64 arithmetic and the special functions. Rounding modes other than nearest, and .ftz, run the same
// handlers under another MXCSR (exec/control.cpp). The "approximate" functions are computed to nearly full precision.
#include "exec/lanes.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

// clang-format off
struct Add { template <class T> static T run(T a, T b) { return a + b; } };
struct Sub { template <class T> static T run(T a, T b) { return a - b; } };
struct Mul { template <class T> static T run(T a, T b) { return a * b; } };
struct Div { template <class T> static T run(T a, T b) { return a / b; } };
struct Fma { static float run(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
             static double run(double a, double b, double c) { return __builtin_fma(a, b, c); } };
// A NaN loses against a number, and +0 is more than -0.
struct Min { template <class T> static T run(T a, T b) {
  const T smaller = a < b ? a : b < a ? b : std::signbit(a) ? a : b;
  return a != a ? b : b != b ? a : smaller; } };
struct Max { template <class T> static T run(T a, T b) {
  const T larger = a > b ? a : b > a ? b : std::signbit(a) ? b : a;
  return a != a ? b : b != b ? a : larger; } };
struct MinNan { template <class T> static T run(T a, T b) { return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : Min::run(a, b); } };
struct MaxNan { template <class T> static T run(T a, T b) { return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : Max::run(a, b); } };
// The smaller or larger magnitude, negative where one of the signs was.
template <class Op> struct XorSign { template <class T> static T run(T a, T b) {
  const T r = Op::run(std::fabs(a), std::fabs(b));
  return r != r ? r : std::signbit(a) != std::signbit(b) ? -r : r; } };
struct Sqrt { template <class T> static T run(T a) { return std::sqrt(a); } };
struct Rcp { template <class T> static T run(T a) { return T(1) / a; } };
struct Rsqrt { template <class T> static T run(T a) { return static_cast<T>(1.0 / std::sqrt(static_cast<double>(a))); } };
struct Saturate { template <class T> static T run(T a) { return a > T(0) ? (a < T(1) ? a : T(1)) : T(0); } };
struct Log2 { template <class T> static T run(T a) { return static_cast<T>(std::log2(static_cast<double>(a))); } };
struct Sin { template <class T> static T run(T a) { return static_cast<T>(std::sin(static_cast<double>(a))); } };
struct Cos { template <class T> static T run(T a) { return static_cast<T>(std::cos(static_cast<double>(a))); } };
struct Tanh { template <class T> static T run(T a) { return std::tanh(a); } };
struct CopySign { template <class T> static T run(T a, T b) { return std::copysign(b, a); } };
// clang-format on

// 2^x: the integer part goes into the exponent, the rest through its Taylor series in double (error below 1e-10).
struct Exp2 {
  template <class T>
  static float run(float a) {
    const double x = a;
    const double clamped = x < -160.0 ? -160.0 : x > 160.0 ? 160.0 : x;
    const double shifted = clamped + 0x1.8p52;  // the nearest integer stands in the low bits
    const double f = clamped - (shifted - 0x1.8p52);
    double p = 1.01780860092396959e-07;  // ln(2)^k / k!
    p = __builtin_fma(p, f, 1.32154867901443053e-06);
    p = __builtin_fma(p, f, 1.52527338040598393e-05);
    p = __builtin_fma(p, f, 1.54035303933816060e-04);
    p = __builtin_fma(p, f, 1.33335581464284411e-03);
    p = __builtin_fma(p, f, 9.61812910762847688e-03);
    p = __builtin_fma(p, f, 5.55041086648215762e-02);
    p = __builtin_fma(p, f, 2.40226506959100694e-01);
    p = __builtin_fma(p, f, 6.93147180559945286e-01);
    p = __builtin_fma(p, f, 1.0);
    u64 bits;
    std::memcpy(&bits, &shifted, 8);
    const u64 scale_bits = (bits + 1023) << 52;
    double scale;
    std::memcpy(&scale, &scale_bits, 8);
    const double value = p * scale;
    return static_cast<float>(x != x ? x : value);
  }
};

// abs and neg change the sign bit and nothing else.
template <class U, bool Absolute>
const Inst* sign(Warp& warp, const Inst* in) {
  const U* a = reg<U>(warp, in->a);
  constexpr U top = U(1) << (8 * sizeof(U) - 1);
  each<U>(warp, in->d, [&](int i) { return static_cast<U>(Absolute ? a[i] & ~top : a[i] ^ top); });
  return in + 1;
}

const Inst* flush(Warp& warp, const Inst* in) {  // subnormals to zeros; everything else stays
  const u32* a = reg<u32>(warp, in->a);
  each<u32>(warp, in->d, [&](int i) { return a[i] & (a[i] & 0x7f800000u ? 0xffffffffu : 0x80000000u); });
  return in + 1;
}

template <class T>
const Inst* classify(Warp& warp, const Inst* in) {  // testp, by kind
  const T* a = reg<T>(warp, in->a);
  u32 bits = 0;
  for (int i = 0; i < kLanes; ++i) {
    const int type = std::fpclassify(a[i]);
    bool yes = false;
    switch (in->kind) {
      case 0:
        yes = type != FP_INFINITE && type != FP_NAN;
        break;
      case 1:
        yes = type == FP_INFINITE;
        break;
      case 2:
        yes = type != FP_NAN;
        break;
      case 3:
        yes = type == FP_NAN;
        break;
      case 4:
        yes = type == FP_NORMAL;
        break;
      case 5:
        yes = type == FP_SUBNORMAL;
        break;
    }
    bits |= static_cast<u32>(yes) << i;
  }
  u32& d = predicate(warp, in->d);
  d = (d & ~warp.mask) | (bits & warp.mask);
  return in + 1;
}

template <class T>
void add_type(HandlerTable& table, const std::string& type) {
  table["add." + type] = binary<T, T, Add>;
  table["sub." + type] = binary<T, T, Sub>;
  table["mul." + type] = binary<T, T, Mul>;
  table["div." + type] = binary<T, T, Div>;
  table["fma." + type] = table["mad." + type] = ternary<T, T, T, Fma>;
  table["min." + type] = binary<T, T, Min>;
  table["max." + type] = binary<T, T, Max>;
  table["min.nan." + type] = binary<T, T, MinNan>;
  table["max.nan." + type] = binary<T, T, MaxNan>;
  table["sqrt." + type] = unary<T, T, Sqrt>;
  table["rcp." + type] = unary<T, T, Rcp>;
  table["rsqrt." + type] = unary<T, T, Rsqrt>;
  table["saturate." + type] = unary<T, T, Saturate>;
  table["copysign." + type] = binary<T, T, CopySign>;
  table["testp." + type] = classify<T>;
}

}  // namespace

void add_float(HandlerTable& table) {
  add_type<float>(table, "f32");
  add_type<double>(table, "f64");
  table["flush.f32"] = flush;
  table["min.xorsign.f32"] = binary<float, float, XorSign<Min>>;
  table["max.xorsign.f32"] = binary<float, float, XorSign<Max>>;
  table["min.nan.xorsign.f32"] = binary<float, float, XorSign<MinNan>>;
  table["max.nan.xorsign.f32"] = binary<float, float, XorSign<MaxNan>>;
  table["neg.f32"] = sign<u32, false>;
  table["neg.f64"] = sign<u64, false>;
  table["abs.f32"] = sign<u32, true>;
  table["abs.f64"] = sign<u64, true>;
  table["neg.f16"] = table["neg.bf16"] = sign<u16, false>;
  table["abs.f16"] = table["abs.bf16"] = sign<u16, true>;
  table["ex2.f32"] = unary<float, float, Exp2>;
  table["lg2.f32"] = unary<float, float, Log2>;
  table["sin.f32"] = unary<float, float, Sin>;
  table["cos.f32"] = unary<float, float, Cos>;
  table["tanh.f32"] = unary<float, float, Tanh>;
}

}  // namespace tweedie::vgpu::VGPU_ISA
