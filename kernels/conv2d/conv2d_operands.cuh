#pragma once

#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/gemm_operands.cuh"

// Convolution as a GEMM whose operands are never laid out in memory (implicit GEMM; Chetlur et al. 2014): sources that
// find the elements of patches in images. Channels last, so a chunk of channels of one pixel lies together.
namespace tweedie::conv2d_gemm {

using gemm::Divisor, gemm::Place, gemm::chunk;

/// Rows are positions (sample, i, j) of a grid, k is (a, b, channel): the pixel (row_scale i + row_first + step a,
/// column_scale j + column_first + step b) of the sample, zero outside of the image. Forward: positions of y and pixels
/// of x, step 1. Data gradient: positions of x that share a phase of the stride, and pixels of grad_y, step -1.
template <class T>
struct PatchSource {
  using Element = T;
  static constexpr bool k_contiguous = true;
  const T* data = nullptr;
  int height = 0, width = 0, channels = 0;
  Divisor grid_rows, grid_columns, kernel_columns, channel_divisor;
  int scale = 1, row_first = 0, column_first = 0, step = 1;
  int outer = 0, inner = 0;
  bool vector = false;

  struct Lane {
    const T* sample;
    int row, column;
  };
  __device__ void select(int) {}
  __device__ Lane lane(int position) const {
    if (position >= outer) return {nullptr, 0, 0};
    int i, j;
    const int sample = grid_rows.divide(grid_columns.divide(position, j), i);
    return {data + static_cast<std::int64_t>(sample) * height * width * channels, scale * i + row_first,
            scale * j + column_first};
  }
  __device__ const T* find(const Lane& lane, int k) const {
    int channel, b;
    const int a = kernel_columns.divide(channel_divisor.divide(k, channel), b);
    const int row = lane.row + step * a, column = lane.column + step * b;
    if (lane.sample == nullptr || k >= inner || row < 0 || row >= height || column < 0 || column >= width)
      return nullptr;
    return lane.sample + (static_cast<std::int64_t>(row) * width + column) * channels + channel;
  }
  __device__ Place<T> place(const Lane& lane, int k) const {
    const T* at = find(lane, k);
    return at == nullptr ? Place<T>{data, 0} : Place<T>{at, chunk<T>};
  }
  __device__ T element(const Lane& lane, int k, int offset) const {
    const T* at = find(lane, k + offset);
    return at == nullptr ? T(0.0f) : *at;
  }
};

/// The weight as the data gradient reads it: k is (a, b, out channel) over the taps (row_first + stride a,
/// column_first + stride b) that meet one phase of the stride, outer the input channel.
template <class T>
struct TapSource {
  using Element = T;
  static constexpr bool k_contiguous = false;
  const T* data = nullptr;
  int kernel_columns = 0, channels = 0;
  std::int64_t filter = 0;  // elements of one output channel's filter
  Divisor taps_across, out_divisor;
  int row_first = 0, column_first = 0, stride = 1;
  int inner = 0;
  bool vector = false;

  struct Lane {
    int channel;
  };
  __device__ void select(int) {}
  __device__ Lane lane(int position) const { return {position}; }
  __device__ const T* find(const Lane& lane, int k) const {
    int out, b;
    const int a = taps_across.divide(out_divisor.divide(k, out), b);
    const int tap = (row_first + stride * a) * kernel_columns + column_first + stride * b;
    return data + out * filter + static_cast<std::int64_t>(tap) * channels + lane.channel;
  }
  __device__ Place<T> place(const Lane& lane, int k) const {
    if (lane.channel >= channels || k >= inner) return {data, 0};
    return {find(lane, k), min(chunk<T>, channels - lane.channel)};
  }
  __device__ T element(const Lane& lane, int k, int offset) const {
    return lane.channel + offset < channels && k < inner ? find(lane, k)[offset] : T(0.0f);
  }
};

/// A chunk 1, 0, 0, ... of each type.
alignas(16) static __device__ const std::uint32_t one_float32[4] = {0x3f800000u}, one_bfloat16[4] = {0x3f80u};

/// The filter gradient's right operand: k is a position of grad_y, outer a (tap, channel) of the filter; the pixel of x
/// that they meet at. One column more, of ones, makes the sum of grad_y: the bias gradient.
template <class T>
struct PixelSource {
  using Element = T;
  static constexpr bool k_contiguous = false;
  const T* data = nullptr;
  int height = 0, width = 0, channels = 0;
  Divisor grid_rows, grid_columns, kernel_columns, channel_divisor;
  int stride = 1, pad_top = 0, pad_left = 0;
  int filter = 0;  // columns of the filter; column `filter` is that of ones
  int outer = 0, inner = 0;
  bool vector = false;

  struct Lane {
    int position, tap_row, tap_column, channel;  // of the chunk's first element
  };
  __device__ void select(int) {}
  __device__ Lane lane(int position) const {
    Lane lane{position, 0, 0, 0};
    lane.tap_row = kernel_columns.divide(channel_divisor.divide(position, lane.channel), lane.tap_column);
    return lane;
  }
  __device__ const T* find(const Lane& lane, int k) const {
    int i, j;
    const int sample = grid_rows.divide(grid_columns.divide(k, j), i);
    const int row = i * stride - pad_top + lane.tap_row, column = j * stride - pad_left + lane.tap_column;
    if (k >= inner || row < 0 || row >= height || column < 0 || column >= width) return nullptr;
    return data + ((static_cast<std::int64_t>(sample) * height + row) * width + column) * channels + lane.channel;
  }
  __device__ Place<T> place(const Lane& lane, int k) const {
    if (lane.position == filter && k < inner)
      return {reinterpret_cast<const T*>(sizeof(T) == 4 ? one_float32 : one_bfloat16), 1};
    const T* at = lane.position < filter ? find(lane, k) : nullptr;
    return at == nullptr ? Place<T>{data, 0} : Place<T>{at, chunk<T>};
  }
  __device__ T element(const Lane& first, int k, int offset) const {
    const int position = first.position + offset;
    if (position >= outer || k >= inner) return T(0.0f);
    if (position == filter) return T(1.0f);
    const T* at = find(offset == 0 ? first : lane(position), k);
    return at == nullptr ? T(0.0f) : *at;
  }
};

}  // namespace tweedie::conv2d_gemm
