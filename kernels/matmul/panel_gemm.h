#pragma once

#include <cstdint>

namespace tweedie {

/// Columns of a panel are padded to a multiple of this: a vector of the widest instruction set.
inline constexpr int panel_width = 16;
inline std::int64_t padded_to_panel(std::int64_t columns) {
  return (columns + panel_width - 1) / panel_width * panel_width;
}

enum class PanelStart : std::uint8_t { zero, output, bias };

/// c[i, j] = start + sum over segments s and k of a[s][i * a_row + k * a_inner] * b[(s * inner + k) * b_row + j], for
/// 0 <= i < rows and 0 <= j < columns, a multiple of panel_width. `start` is zero, c itself or bias[j]. Strides are in
/// elements. A transposed a is a_row = 1; the segments are the rows of a convolution's kernel.
struct PanelGemm {
  std::int64_t rows = 0, columns = 0, inner = 0;
  const float* const* a = nullptr;
  int segments = 1;
  std::int64_t a_row = 0, a_inner = 1;
  const float* b = nullptr;
  std::int64_t b_row = 0;
  float* c = nullptr;
  std::int64_t c_row = 0;
  PanelStart start = PanelStart::zero;
  const float* bias = nullptr;
};

}  // namespace tweedie
