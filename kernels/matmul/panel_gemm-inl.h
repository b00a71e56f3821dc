// A small matrix product held in registers: the inner part of the CPU's attention and of its convolutions with few
// channels. Compiled once for each instruction set, like kernels/runtime/simd-inl.h.
#if defined(TWEEDIE_PANEL_GEMM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TWEEDIE_PANEL_GEMM_INL_H
#undef TWEEDIE_PANEL_GEMM_INL_H
#else
#define TWEEDIE_PANEL_GEMM_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/matmul/panel_gemm.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {

namespace panel {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, panel_width>;
using Vector = hn::Vec<Tag>;
inline constexpr int lanes = static_cast<int>(hn::MaxLanes(Tag()));
/// Accumulators fill the registers but for a row of b and one broadcast of a.
inline constexpr int registers = HWY_MAX_BYTES == 64 ? 32 : 16;
inline constexpr int widest = HWY_MAX_BYTES == 64 ? 4 : 2;  // vectors
constexpr int tallest(int vectors) {
  return (registers - 2 - vectors) / vectors > 14 ? 14 : (registers - 2 - vectors) / vectors;
}

/// `Rows` rows and `Vectors` vectors of c, from row `row` and column `column` on.
template <int Rows, int Vectors>
HWY_INLINE void block(const PanelGemm& g, std::int64_t row, std::int64_t column) {
  const Tag d;
  Vector sum[Rows][Vectors];
  float* c = g.c + row * g.c_row + column;
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) {
      if (g.start == PanelStart::output)
        sum[i][j] = hn::LoadU(d, c + i * g.c_row + j * lanes);
      else
        sum[i][j] = g.start == PanelStart::bias ? hn::LoadU(d, g.bias + column + j * lanes) : hn::Zero(d);
    }
  for (int segment = 0; segment < g.segments; ++segment) {
    const float* a = g.a[segment] + row * g.a_row;
    const float* b = g.b + segment * g.inner * g.b_row + column;
    for (std::int64_t k = 0; k < g.inner; ++k) {
      Vector b_row[Vectors];
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j) b_row[j] = hn::LoadU(d, b + j * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Vector a_value = hn::Set(d, a[i * g.a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < Vectors; ++j) sum[i][j] = hn::MulAdd(a_value, b_row[j], sum[i][j]);
      }
      a += g.a_inner;
      b += g.b_row;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) hn::StoreU(sum[i][j], d, c + i * g.c_row + j * lanes);
}

template <int Rows, int Vectors>
HWY_INLINE void rows_of(const PanelGemm& g, std::int64_t row, std::int64_t column, int rows) {
  if (rows == Rows) {
    block<Rows, Vectors>(g, row, column);
  } else if constexpr (Rows > 1) {
    rows_of<Rows - 1, Vectors>(g, row, column, rows);
  }
}

/// All rows of one column panel, in blocks of nearly equal height.
template <int Vectors>
HWY_NOINLINE void column_panel(const PanelGemm& g, std::int64_t column) {
  constexpr int height = tallest(Vectors);
  const std::int64_t blocks = (g.rows + height - 1) / height;
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::int64_t first = g.rows * i / blocks, last = g.rows * (i + 1) / blocks;
    rows_of<height, Vectors>(g, first, column, static_cast<int>(last - first));
  }
}

}  // namespace panel

HWY_INLINE void panel_gemm(const PanelGemm& g) {
  using namespace panel;
  std::int64_t column = 0;
  for (; column + widest * lanes <= g.columns; column += widest * lanes) column_panel<widest>(g, column);
  const int rest = static_cast<int>(g.columns - column) / lanes;
  if (rest == 1) column_panel<1>(g, column);
  if constexpr (widest > 2) {
    if (rest == 2) column_panel<2>(g, column);
    if (rest == 3) column_panel<3>(g, column);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#endif  // include guard of each target
