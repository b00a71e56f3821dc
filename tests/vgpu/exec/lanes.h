// Lane loops. Every file that includes this is compiled once for each instruction set, in a namespace of its own.
#pragma once
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <string>
#include <unordered_map>

#include "exec/machine.h"

#ifndef VGPU_ISA
#define VGPU_ISA isa_baseline
#endif

namespace tweedie::vgpu {
using HandlerTable = std::unordered_map<std::string, Handler>;
}

namespace tweedie::vgpu::VGPU_ISA {

template <class T>
inline T* reg(Warp& warp, u32 offset) {
  return reinterpret_cast<T*>(warp.regs + offset);
}
inline u32& predicate(Warp& warp, u32 offset) {
  return *reinterpret_cast<u32*>(warp.regs + offset);
}

template <class T>
inline void blend(T* to, const T* from, u32 mask) {
#ifdef __AVX512BW__
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(to, static_cast<__mmask16>(mask), _mm512_loadu_si512(from));
    _mm512_mask_storeu_epi32(to + 16, static_cast<__mmask16>(mask >> 16), _mm512_loadu_si512(from + 16));
  } else if constexpr (sizeof(T) == 8) {
    for (int k = 0; k < 4; ++k)
      _mm512_mask_storeu_epi64(to + 8 * k, static_cast<__mmask8>(mask >> (8 * k)), _mm512_loadu_si512(from + 8 * k));
  } else {
    _mm512_mask_storeu_epi16(to, mask, _mm512_loadu_si512(from));
  }
#else
  for (int i = 0; i < kLanes; ++i)
    if (mask >> i & 1) to[i] = from[i];
#endif
}

// d[i] = f(i) for the active lanes. f runs for every lane: it must not trap.
template <class D, class F>
__attribute__((always_inline)) inline void each(Warp& warp, u32 d, F f) {
  D* to = reg<D>(warp, d);
  if (__builtin_expect(warp.mask == kFull, 1)) {
#pragma GCC ivdep
    for (int i = 0; i < kLanes; ++i) to[i] = f(i);
  } else {
    alignas(64) D result[kLanes];
#pragma GCC ivdep
    for (int i = 0; i < kLanes; ++i) result[i] = f(i);
    blend(to, result, warp.mask);
  }
}

// The bits of f(i).
template <class F>
__attribute__((always_inline)) inline u32 bits_of(F f) {
  alignas(64) i32 wide[kLanes];
#pragma GCC ivdep
  for (int i = 0; i < kLanes; ++i) wide[i] = f(i) ? -1 : 0;
#if defined(__AVX512DQ__)
  return static_cast<u32>(_mm512_movepi32_mask(_mm512_load_si512(wide))) |
         static_cast<u32>(_mm512_movepi32_mask(_mm512_load_si512(wide + 16))) << 16;
#elif defined(__AVX2__)
  u32 bits = 0;
  for (int k = 0; k < 4; ++k)
    bits |= static_cast<u32>(_mm256_movemask_ps(_mm256_load_ps(reinterpret_cast<float*>(wide) + 8 * k))) << (8 * k);
  return bits;
#else
  u32 bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= (wide[i] & 1u) << i;
  return bits;
#endif
}

template <class D, class A, class Op>
const Inst* unary(Warp& warp, const Inst* in) {
  const A* a = reg<A>(warp, in->a);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(Op::template run<A>(a[i])); });
  return in + 1;
}
template <class D, class A, class Op>
const Inst* binary(Warp& warp, const Inst* in) {
  const A* a = reg<A>(warp, in->a);
  const A* b = reg<A>(warp, in->b);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(Op::run(a[i], b[i])); });
  return in + 1;
}
template <class D, class A, class C, class Op>
const Inst* ternary(Warp& warp, const Inst* in) {
  const A* a = reg<A>(warp, in->a);
  const A* b = reg<A>(warp, in->b);
  const C* c = reg<C>(warp, in->c);
  each<D>(warp, in->d, [&](int i) { return static_cast<D>(Op::run(a[i], b[i], c[i])); });
  return in + 1;
}

void add_integer(HandlerTable& table);
void add_bits(HandlerTable& table);
void add_float(HandlerTable& table);
void add_half(HandlerTable& table);
void add_convert(HandlerTable& table);
void add_predicate(HandlerTable& table);
void add_memory(HandlerTable& table);
void add_matrix(HandlerTable& table);

}  // namespace tweedie::vgpu::VGPU_ISA
