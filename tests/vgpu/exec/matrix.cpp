// mma and wmma arithmetic. The fragments of every m16n8 shape have one pattern: a register of A holds, for row
// lane / 4 (+ 8), the word lane % 4 of 32 bits along k; one of B the same for column lane / 4; C holds columns
// 2 (lane % 4) and the next. So 16 consecutive lanes of a register are four rows of four words, and a product step is a
// broadcast within groups of four lanes (A), a permutation (B) and a fused multiply-add over 16 lanes.
#include <algorithm>
#include <limits>

#include "exec/gather.h"
#include "exec/half.h"

namespace tweedie::vgpu::VGPU_ISA {
namespace {

using F16 = float __attribute__((vector_size(64)));
using I16 = i32 __attribute__((vector_size(64)));
using U16 = u32 __attribute__((vector_size(64)));

enum Element : u8 { kBf16, kF16, kTf32, kS8, kU8 };

template <class V>
V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// One register's 32 lanes, expanded to its sub-elements: out[s] has lanes 0-15 and 16-31.
inline void expand(const u32* words, int type, F16 (*out)[2]) {
  for (int h = 0; h < 2; ++h) {
    const U16 w = load<U16>(words + 16 * h);
    if (type == kTf32) {
      out[0][h] = reinterpret_cast<F16>(w & 0xffffe000u);
    } else if (type == kBf16) {
      out[0][h] = reinterpret_cast<F16>(w << 16);
      out[1][h] = reinterpret_cast<F16>(w & 0xffff0000u);
    } else {
#ifdef __AVX512F__
      const __m512i v = reinterpret_cast<__m512i>(w);
      out[0][h] = reinterpret_cast<F16>(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)));
      out[1][h] = reinterpret_cast<F16>(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16))));
#else
      for (int part = 0; part < 2; ++part) {
        const auto v = load<__m256i>(words + 16 * h + 8 * part);
        const __m256i halves[] = {_mm256_and_si256(v, _mm256_set1_epi32(0xffff)), _mm256_srli_epi32(v, 16)};
        for (int s = 0; s < 2; ++s) {
          const __m256 wide = _mm256_cvtph_ps(
              _mm_packus_epi32(_mm256_castsi256_si128(halves[s]), _mm256_extracti128_si256(halves[s], 1)));
          std::memcpy(reinterpret_cast<u8*>(&out[s][h]) + 32 * part, &wide, sizeof wide);
        }
      }
#endif
    }
  }
}
inline void expand(const u32* words, int type, I16 (*out)[2]) {
  for (int h = 0; h < 2; ++h) {
    const U16 w = load<U16>(words + 16 * h);
    for (int s = 0; s < 4; ++s) {
      const U16 top = w << (24 - 8 * s);
      out[s][h] = type == kS8 ? reinterpret_cast<I16>(top) >> 24 : reinterpret_cast<I16>(top >> 24);
    }
  }
}

inline I16 add_saturated(I16 a, I16 b) {
  I16 sum;
  for (int i = 0; i < 16; ++i)
    sum[i] = static_cast<i32>(std::clamp<i64>(static_cast<i64>(a[i]) + b[i], std::numeric_limits<i32>::min(),
                                              std::numeric_limits<i32>::max()));
  return sum;
}

#ifdef __AVX512F__
template <int W>
constexpr I16 kBroadcast = {W,     W,     W,     W,     4 + W,  4 + W,  4 + W,  4 + W,
                            8 + W, 8 + W, 8 + W, 8 + W, 12 + W, 12 + W, 12 + W, 12 + W};
// Lanes 4 (2 t + parity) + w of the pair of vectors, t = 0..3, four times over.
template <int W, int P>
constexpr I16 kColumns = {
    4 * P + W, 8 + 4 * P + W, 16 + 4 * P + W, 24 + 4 * P + W, 4 * P + W, 8 + 4 * P + W, 16 + 4 * P + W, 24 + 4 * P + W,
    4 * P + W, 8 + 4 * P + W, 16 + 4 * P + W, 24 + 4 * P + W, 4 * P + W, 8 + 4 * P + W, 16 + 4 * P + W, 24 + 4 * P + W};

template <class V>
__attribute__((always_inline)) inline V multiply_add(V a, V b, V c) {
  if constexpr (std::is_same_v<V, F16>) {
    return reinterpret_cast<F16>(
        _mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  } else {
    return a * b + c;
  }
}

// acc[2 * half + parity][h]: rows 8 half + 4 h .. + 3, columns 2 t + parity.
template <class V, int Sub, int W>
__attribute__((always_inline)) inline void step(V acc[4][2], V (*a)[4][2], V (*b)[2], int halves) {
  for (int s = 0; s < Sub; ++s) {
    const V even = __builtin_shuffle(b[s][0], b[s][1], kColumns<W, 0>);
    const V odd = __builtin_shuffle(b[s][0], b[s][1], kColumns<W, 1>);
    for (int half = 0; half < halves; ++half)
      for (int h = 0; h < 2; ++h) {
        const V x = __builtin_shuffle(a[half][s][h], kBroadcast<W>);
        acc[2 * half][h] = multiply_add(x, even, acc[2 * half][h]);
        acc[2 * half + 1][h] = multiply_add(x, odd, acc[2 * half + 1][h]);
      }
  }
}

template <class V, int Sub>
__attribute__((always_inline)) inline void tile(V acc[4][2], const u32* const* a, const u32* const* b, int k_blocks,
                                                int halves, int a_type, int b_type) {
  for (int k = 0; k < k_blocks; ++k) {
    V wide_a[2][4][2], wide_b[4][2];
    for (int half = 0; half < halves; ++half) expand(a[k * halves + half], a_type, wide_a[half]);
    expand(b[k], b_type, wide_b);
    step<V, Sub, 0>(acc, wide_a, wide_b, halves);
    step<V, Sub, 1>(acc, wide_a, wide_b, halves);
    step<V, Sub, 2>(acc, wide_a, wide_b, halves);
    step<V, Sub, 3>(acc, wide_a, wide_b, halves);
  }
}
#else
// The same sums in the same order with vectors of eight: GCC takes a shuffle of sixteen lanes apart into single ones.
template <class E>
struct Vectors;
template <>
struct Vectors<float> {
  using Eight = float __attribute__((vector_size(32)));
  using Four = float __attribute__((vector_size(16)));
};
template <>
struct Vectors<i32> {
  using Eight = i32 __attribute__((vector_size(32)));
  using Four = i32 __attribute__((vector_size(16)));
};
template <class E>
using Eight = typename Vectors<E>::Eight;
template <class E>
using Four = typename Vectors<E>::Four;

template <class E>
__attribute__((always_inline)) inline Eight<E> multiply_add(Eight<E> a, Eight<E> b, Eight<E> c) {
  if constexpr (std::is_same_v<E, float>)
    return _mm256_fmadd_ps(a, b, c);
  else
    return a * b + c;
}

template <int W>
constexpr Eight<i32> kBroadcast = {W, W, W, W, 4 + W, 4 + W, 4 + W, 4 + W};

// columns[w][parity]: word w of columns 2 t + parity, t = 0..3, twice over.
template <class E>
__attribute__((always_inline)) inline void columns_of(const E* b, Eight<E> (*columns)[2]) {
  for (int parity = 0; parity < 2; ++parity) {
    Four<E> row[4];
    for (int t = 0; t < 4; ++t) row[t] = *reinterpret_cast<const Four<E>*>(b + 4 * (2 * t + parity));
    constexpr Four<i32> kLow = {0, 4, 1, 5}, kHigh = {2, 6, 3, 7}, kFirst = {0, 1, 4, 5}, kLast = {2, 3, 6, 7};
    const Four<E> low_01 = __builtin_shuffle(row[0], row[1], kLow), low_23 = __builtin_shuffle(row[2], row[3], kLow);
    const Four<E> high_01 = __builtin_shuffle(row[0], row[1], kHigh),
                  high_23 = __builtin_shuffle(row[2], row[3], kHigh);
    const Four<E> words[] = {__builtin_shuffle(low_01, low_23, kFirst), __builtin_shuffle(low_01, low_23, kLast),
                             __builtin_shuffle(high_01, high_23, kFirst), __builtin_shuffle(high_01, high_23, kLast)};
    for (int w = 0; w < 4; ++w)
      columns[w][parity] = __builtin_shufflevector(words[w], words[w], 0, 1, 2, 3, 4, 5, 6, 7);
  }
}

// Eight lanes of the sums in even and odd columns: a step for each word, and for each of its sub-elements.
template <class E, int Sub, int... W>
__attribute__((always_inline)) inline void steps(Eight<E>& even, Eight<E>& odd, const E* a,
                                                 const Eight<E> (*columns)[4][2], std::integer_sequence<int, W...>) {
  const auto step = [&]<int Word>(std::integral_constant<int, Word>) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int s = 0; s < Sub; ++s) {
      const Eight<E> x = __builtin_shuffle(*reinterpret_cast<const Eight<E>*>(a + 32 * s), kBroadcast<Word>);
      even = multiply_add<E>(x, columns[s][Word][0], even);
      odd = multiply_add<E>(x, columns[s][Word][1], odd);
    }
  };
  (step(std::integral_constant<int, W>{}), ...);
}

template <class V, int Sub>
__attribute__((always_inline)) inline void tile(V acc[4][2], const u32* const* a, const u32* const* b, int k_blocks,
                                                int halves, int a_type, int b_type) {
  using E = std::remove_reference_t<decltype(acc[0][0][0])>;
  for (int k = 0; k < k_blocks; ++k) {
    V wide[4][2];
    const auto words = reinterpret_cast<const E*>(wide);
    Eight<E> columns[4][4][2];
    expand(b[k], b_type, wide);
    for (int s = 0; s < Sub; ++s) columns_of<E>(words + 32 * s, columns[s]);
    for (int half = 0; half < halves; ++half) {
      expand(a[k * halves + half], a_type, wide);
      for (int q = 0; q < 4; ++q) {
        Eight<E>& even = reinterpret_cast<Eight<E>*>(acc[2 * half])[q];
        Eight<E>& odd = reinterpret_cast<Eight<E>*>(acc[2 * half + 1])[q];
        Eight<E> of_even = even, of_odd = odd;
        steps<E, Sub>(of_even, of_odd, words + 8 * q, columns, std::make_integer_sequence<int, 4>{});
        even = of_even;
        odd = of_odd;
      }
    }
  }
}
#endif

// list: D, A, B, C registers. kind: type of A, bytes: of B; count: blocks of k; flags: 1 C in half, 2 D in half, 4 only
// 8 rows, 8 saturate (integers); extra: tiles along n (low byte) and m; target: registers of A (low byte) and B for
// each tile, which may be more than are used (f16 fragments of wmma hold each element twice).
const Inst* multiply(Warp& warp, const Inst* in) {
  if (!gather_warp(warp, in)) return nullptr;
  const int n_tiles = in->extra & 255, m_tiles = in->extra >> 8, halves = in->flags & 4 ? 1 : 2;
  const int c_registers = halves * (in->flags & 1 ? 1 : 2), d_registers = halves * (in->flags & 2 ? 1 : 2);
  const int k_blocks = in->count;
  const int a_used = halves * k_blocks, a_total = in->target & 255, b_total = in->target >> 8;
  const u32* d = in->list;
  const u32* a = d + d_registers * n_tiles * m_tiles;
  const u32* b = a + a_total;
  const u32* c = b + b_total;
  alignas(64) u32 results[16][4][kLanes];
  int tiles = 0;
  for (int m = 0; m < m_tiles; ++m)
    for (int n = 0; n < n_tiles; ++n, ++tiles) {
      const u32* a_words[8];
      const u32* b_words[4];
      for (int k = 0; k < a_used; ++k) a_words[k] = reg<u32>(warp, a[m * a_used + k]);
      for (int k = 0; k < k_blocks; ++k) b_words[k] = reg<u32>(warp, b[n * k_blocks + k]);
      const u32* c_at = c + tiles * c_registers;
      auto run = [&](auto zero) {
        using V = decltype(zero);
        V acc[4][2];
        const bool saturates = in->flags & 8;  // of integers: C is added last
        for (int r = 0; r < 2 * halves; ++r)
          for (int h = 0; h < 2; ++h) {
            if (saturates) {
              acc[r][h] = V{};
            } else if (in->flags & 1) {
              const u32* words = reg<u32>(warp, c_at[r / 2]) + 16 * h;
              for (int i = 0; i < 16; ++i)
                acc[r][h][i] = static_cast<std::remove_reference_t<decltype(acc[0][0][0])>>(
                    Half::widen(static_cast<u16>(words[i] >> (16 * (r & 1)))));
            } else {
              acc[r][h] = load<V>(reg<u32>(warp, c_at[r]) + 16 * h);
            }
          }
        if constexpr (std::is_same_v<V, I16>) {
          tile<V, 4>(acc, a_words, b_words, k_blocks, halves, in->kind, in->bytes);
        } else if (in->kind == kTf32) {
          tile<V, 1>(acc, a_words, b_words, k_blocks, halves, kTf32, kTf32);
        } else if (in->kind == kBf16) {
          if (halves == 2)
            tile<V, 2>(acc, a_words, b_words, k_blocks, 2, kBf16, kBf16);
          else
            tile<V, 2>(acc, a_words, b_words, k_blocks, 1, kBf16, kBf16);
        } else {
          if (halves == 2)
            tile<V, 2>(acc, a_words, b_words, k_blocks, 2, kF16, kF16);
          else
            tile<V, 2>(acc, a_words, b_words, k_blocks, 1, kF16, kF16);
        }
        for (int r = 0; r < 2 * halves; ++r)
          for (int h = 0; h < 2; ++h) {
            if constexpr (std::is_same_v<V, I16>)
              if (saturates) acc[r][h] = add_saturated(acc[r][h], load<V>(reg<u32>(warp, c_at[r]) + 16 * h));
            if (in->flags & 2) {
              u32* words = results[tiles][r / 2] + 16 * h;
              for (int i = 0; i < 16; ++i) {
                const u32 half = Half::narrow(static_cast<float>(acc[r][h][i]));
                words[i] = r & 1 ? words[i] | half << 16 : half;
              }
            } else {
              std::memcpy(results[tiles][r] + 16 * h, &acc[r][h], 64);
            }
          }
      };
      if (in->kind == kS8 || in->kind == kU8)
        run(I16{});
      else
        run(F16{});
    }
  for (int t = 0; t < tiles; ++t)
    for (int r = 0; r < d_registers; ++r)
      std::memcpy(reg<u32>(warp, d[t * d_registers + r]), results[t][r], sizeof results[t][r]);
  return in + 1;
}

// Doubles, m8n8k4 (flags 4) or m16n8 with `count` times four k. Register q of A holds row lane / 4 (+ 8 in every second
// one) and k = lane % 4 + 4 * its block; one of B the same for column lane / 4; C as above.
const Inst* multiply_double(Warp& warp, const Inst* in) {
  if (!gather_warp(warp, in)) return nullptr;
  const int halves = in->flags & 4 ? 1 : 2, blocks = in->count, results = 2 * halves;
  const u32* a = in->list + results;
  const u32* b = a + halves * blocks;
  const u32* c = b + blocks;
  double result[4][kLanes];
  for (int r = 0; r < results; ++r)
    for (int i = 0; i < kLanes; ++i) {
      const int row = i / 4 * 4, column = (2 * (i % 4) + r % 2) * 4;
      double sum = reg<double>(warp, c[r])[i];
      for (int k = 0; k < 4 * blocks; ++k)
        sum = __builtin_fma(reg<double>(warp, a[k / 4 * halves + r / 2])[row + k % 4],
                            reg<double>(warp, b[k / 4])[column + k % 4], sum);
      result[r][i] = sum;
    }
  for (int r = 0; r < results; ++r) std::memcpy(reg<double>(warp, in->list[r]), result[r], sizeof result[r]);
  return in + 1;
}

}  // namespace

void add_matrix(HandlerTable& table) {
  table["mma"] = multiply;
  table["mma.f64"] = multiply_double;
}

}  // namespace tweedie::vgpu::VGPU_ISA
