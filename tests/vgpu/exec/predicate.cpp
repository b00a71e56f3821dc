// Comparisons, selections and predicate logic. A predicate is the mask of the lanes where it holds.
#include "exec/half.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

// clang-format off
struct Eq { template <class T> static bool run(T a, T b) { return a == b; } };
struct Ne { template <class T> static bool run(T a, T b) { return std::is_integral_v<T> ? a != b : a < b || b < a; } };
struct Lt { template <class T> static bool run(T a, T b) { return a < b; } };
struct Le { template <class T> static bool run(T a, T b) { return a <= b; } };
struct Gt { template <class T> static bool run(T a, T b) { return a > b; } };
struct Ge { template <class T> static bool run(T a, T b) { return a >= b; } };
struct Equ { template <class T> static bool run(T a, T b) { return !(a < b || b < a); } };
struct Neu { template <class T> static bool run(T a, T b) { return a != b; } };
struct Ltu { template <class T> static bool run(T a, T b) { return !(a >= b); } };
struct Leu { template <class T> static bool run(T a, T b) { return !(a > b); } };
struct Gtu { template <class T> static bool run(T a, T b) { return !(a <= b); } };
struct Geu { template <class T> static bool run(T a, T b) { return !(a < b); } };
struct Num { template <class T> static bool run(T a, T b) { return a == a && b == b; } };
struct Nan { template <class T> static bool run(T a, T b) { return a != a || b != b; } };
// clang-format on

enum Combine : u8 { kNone, kAnd, kOr, kXor };
constexpr u8 kNegateC = 8;

u32 combine(u8 kind, u32 r, u32 c) {
  if (kind & kNegateC) c = ~c;
  switch (kind & 7) {
    case kAnd:
      return r & c;
    case kOr:
      return r | c;
    case kXor:
      return r ^ c;
    default:
      return r;
  }
}

// d = compare(a, b) op c; the second destination, where there is one, is (not compare) op c.
void finish(Warp& warp, const Inst* in, u32 bits) {
  const u32 c = in->kind ? predicate(warp, in->c) : 0;
  if (in->d != kFull) {
    u32& d = predicate(warp, in->d);
    d = (d & ~warp.mask) | (combine(in->kind, bits, c) & warp.mask);
  }
  if (in->extra != kFull) {
    u32& d = predicate(warp, in->extra);
    d = (d & ~warp.mask) | (combine(in->kind, ~bits, c) & warp.mask);
  }
}

template <class T, class Op>
const Inst* compare(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  finish(warp, in, bits_of([&](int i) { return Op::run(a[i], b[i]); }));
  return in + 1;
}
template <class Type, class Op>
const Inst* compare_half(Warp& warp, const Inst* in) {
  const u16* a = reg<u16>(warp, in->a);
  const u16* b = reg<u16>(warp, in->b);
  finish(warp, in, bits_of([&](int i) { return Op::run(Type::widen(a[i]), Type::widen(b[i])); }));
  return in + 1;
}
template <class Type, class Op>
const Inst* compare_pair(Warp& warp, const Inst* in) {  // d: the low halves, extra: the high ones
  const u32* a = reg<u32>(warp, in->a);
  const u32* b = reg<u32>(warp, in->b);
  const u32 c = in->kind ? predicate(warp, in->c) : 0;
  const u32 low =
      bits_of([&](int i) { return Op::run(Type::widen(static_cast<u16>(a[i])), Type::widen(static_cast<u16>(b[i]))); });
  const u32 high = bits_of([&](int i) {
    return Op::run(Type::widen(static_cast<u16>(a[i] >> 16)), Type::widen(static_cast<u16>(b[i] >> 16)));
  });
  if (in->d != kFull)
    predicate(warp, in->d) = (predicate(warp, in->d) & ~warp.mask) | (combine(in->kind, low, c) & warp.mask);
  if (in->extra != kFull)
    predicate(warp, in->extra) = (predicate(warp, in->extra) & ~warp.mask) | (combine(in->kind, high, c) & warp.mask);
  return in + 1;
}

// set.cmp.dtype.stype: all ones or 1.0 where the comparison holds (flags: 1 for a float result).
template <class D>
const Inst* set_value(Warp& warp, const Inst* in) {
  const u32 p = predicate(warp, in->a);
  const D yes = static_cast<D>(in->imm);
  each<D>(warp, in->d, [&](int i) { return p >> i & 1 ? yes : D(0); });
  return in + 1;
}
const Inst* set_pair(Warp& warp, const Inst* in) {
  const u32 low = predicate(warp, in->a), high = predicate(warp, in->b);
  const u32 yes = static_cast<u32>(in->imm);
  each<u32>(warp, in->d, [&](int i) { return (low >> i & 1 ? yes : 0) | (high >> i & 1 ? yes << 16 : 0); });
  return in + 1;
}

template <class T>
const Inst* select(Warp& warp, const Inst* in) {
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  const u32 p = predicate(warp, in->c);
  T* d = reg<T>(warp, in->d);
  alignas(64) T result[kLanes];
  std::memcpy(result, b, sizeof result);
  blend(result, a, p);
  if (warp.mask == kFull)
    std::memcpy(d, result, sizeof result);
  else
    blend(d, result, warp.mask);
  return in + 1;
}
template <class T, class C>
const Inst* select_sign(Warp& warp, const Inst* in) {  // slct: a where c >= 0
  const T* a = reg<T>(warp, in->a);
  const T* b = reg<T>(warp, in->b);
  const C* c = reg<C>(warp, in->c);
  each<T>(warp, in->d, [&](int i) { return c[i] >= 0 ? a[i] : b[i]; });
  return in + 1;
}

template <class Op>
const Inst* logic(Warp& warp, const Inst* in) {
  u32& d = predicate(warp, in->d);
  d = (d & ~warp.mask) | (Op::run(predicate(warp, in->a), predicate(warp, in->b)) & warp.mask);
  return in + 1;
}
// clang-format off
struct And { static u32 run(u32 a, u32 b) { return a & b; } };
struct Or { static u32 run(u32 a, u32 b) { return a | b; } };
struct Xor { static u32 run(u32 a, u32 b) { return a ^ b; } };
struct Not { static u32 run(u32 a, u32) { return ~a; } };
struct Mov { static u32 run(u32 a, u32) { return a; } };
// clang-format on
const Inst* lop3_predicate(Warp& warp, const Inst* in) {  // lop3.BoolOp p: the predicate of a non-zero result
  const u32* d = reg<u32>(warp, in->d);
  const u32 bits = bits_of([&](int i) { return d[i] != 0; });
  const u32 q = predicate(warp, in->a);
  u32& p = predicate(warp, in->extra);
  p = (p & ~warp.mask) | ((in->kind == kOr ? bits | q : bits & q) & warp.mask);
  return in + 1;
}

template <class T>
void add_ordered(HandlerTable& table, const std::string& type) {
  table["setp.eq." + type] = compare<T, Eq>;
  table["setp.ne." + type] = compare<T, Ne>;
  table["setp.lt." + type] = compare<T, Lt>;
  table["setp.le." + type] = compare<T, Le>;
  table["setp.gt." + type] = compare<T, Gt>;
  table["setp.ge." + type] = compare<T, Ge>;
}
template <class T>
void add_unordered(HandlerTable& table, const std::string& type) {
  table["setp.equ." + type] = compare<T, Equ>;
  table["setp.neu." + type] = compare<T, Neu>;
  table["setp.ltu." + type] = compare<T, Ltu>;
  table["setp.leu." + type] = compare<T, Leu>;
  table["setp.gtu." + type] = compare<T, Gtu>;
  table["setp.geu." + type] = compare<T, Geu>;
  table["setp.num." + type] = compare<T, Num>;
  table["setp.nan." + type] = compare<T, Nan>;
}
template <class Type, class Op>
void add_half_one(HandlerTable& table, const std::string& name, const std::string& type) {
  table["setp." + name + "." + type] = compare_half<Type, Op>;
  table["setp." + name + "." + type + "x2"] = compare_pair<Type, Op>;
}
template <class Type>
void add_half_compare(HandlerTable& table, const std::string& type) {
  add_half_one<Type, Eq>(table, "eq", type);
  add_half_one<Type, Ne>(table, "ne", type);
  add_half_one<Type, Lt>(table, "lt", type);
  add_half_one<Type, Le>(table, "le", type);
  add_half_one<Type, Gt>(table, "gt", type);
  add_half_one<Type, Ge>(table, "ge", type);
  add_half_one<Type, Equ>(table, "equ", type);
  add_half_one<Type, Neu>(table, "neu", type);
  add_half_one<Type, Ltu>(table, "ltu", type);
  add_half_one<Type, Leu>(table, "leu", type);
  add_half_one<Type, Gtu>(table, "gtu", type);
  add_half_one<Type, Geu>(table, "geu", type);
  add_half_one<Type, Num>(table, "num", type);
  add_half_one<Type, Nan>(table, "nan", type);
}

}  // namespace

void add_predicate(HandlerTable& table) {
  add_ordered<u16>(table, "u16");
  add_ordered<i16>(table, "s16");
  add_ordered<u32>(table, "u32");
  add_ordered<i32>(table, "s32");
  add_ordered<u64>(table, "u64");
  add_ordered<i64>(table, "s64");
  for (const std::string bits : {"16", "32", "64"})
    for (const std::string test : {"eq", "ne"})
      table["setp." + test + ".b" + bits] = table["setp." + test + ".u" + bits];
  for (const std::string bits : {"16", "32", "64"}) {  // lower, lower or same, higher, higher or same
    table["setp.lo.u" + bits] = table["setp.lt.u" + bits];
    table["setp.ls.u" + bits] = table["setp.le.u" + bits];
    table["setp.hi.u" + bits] = table["setp.gt.u" + bits];
    table["setp.hs.u" + bits] = table["setp.ge.u" + bits];
  }
  add_ordered<float>(table, "f32");
  add_ordered<double>(table, "f64");
  add_unordered<float>(table, "f32");
  add_unordered<double>(table, "f64");
  add_half_compare<Half>(table, "f16");
  add_half_compare<Brain>(table, "bf16");
  table["set.16"] = set_value<u16>;
  table["set.32"] = set_value<u32>;
  table["set.64"] = set_value<u64>;
  table["set.pair"] = set_pair;
  table["selp.16"] = select<u16>;
  table["selp.32"] = select<u32>;
  table["selp.64"] = select<u64>;
  table["slct.32.s32"] = select_sign<u32, i32>;
  table["slct.32.f32"] = select_sign<u32, float>;
  table["slct.64.s32"] = select_sign<u64, i32>;
  table["slct.64.f32"] = select_sign<u64, float>;
  table["slct.16.s32"] = select_sign<u16, i32>;
  table["slct.16.f32"] = select_sign<u16, float>;
  table["and.pred"] = logic<And>;
  table["or.pred"] = logic<Or>;
  table["xor.pred"] = logic<Xor>;
  table["not.pred"] = logic<Not>;
  table["mov.pred"] = logic<Mov>;
  table["lop3.pred"] = lop3_predicate;
}

}  // namespace tweedie::vgpu::VGPU_ISA
