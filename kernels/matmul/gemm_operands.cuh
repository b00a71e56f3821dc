#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/activation/activation.cuh"
#include "kernels/runtime/array.h"
#include "kernels/runtime/kernel.cuh"

// What the GEMM kernels of matmul and convolution read and write. A product is C (M, N) = A (M, K) B (K, N); a *source*
// tells where A or B lie. `outer` is the index of an operand that C keeps: m of A, n of B. A source hands out chunks of
// 16 bytes, `width` elements along the axis that is contiguous in memory (k_contiguous: along k, else along outer):
//   Lane lane(outer)            what a thread keeps of its place along outer while k advances
//   Place place(lane, k)        where the chunk lies: a pointer and how many of its elements exist, or nowhere
//   T element(outer, k)         one element, zero outside: for chunks that do not lie together in memory
// `vector` says whether every chunk's address is aligned to 16 bytes and its existing elements lie together.
namespace tweedie::gemm {

/// Division of 0 <= n < 2^31 by a constant (Granlund and Montgomery 1994).
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(int divisor) : divisor_(divisor) {
    while ((1ll << shift_) < divisor) ++shift_;
    multiplier_ = static_cast<std::uint32_t>(((1ull << 32) * ((1ull << shift_) - divisor)) / divisor + 1);
  }
  __device__ int divide(int n) const {
    return static_cast<int>((__umulhi(static_cast<std::uint32_t>(n), multiplier_) + static_cast<std::uint32_t>(n)) >>
                            shift_);
  }
  __device__ int divide(int n, int& remainder) const {
    const int quotient = divide(n);
    remainder = n - quotient * divisor_;
    return quotient;
  }
  __host__ __device__ int value() const { return divisor_; }

 private:
  int divisor_ = 1;
  std::uint32_t multiplier_ = 1, shift_ = 0;
};

/// A chunk in memory: elements [0, count) exist.
template <class T>
struct Place {
  const T* data;
  int count;
};

template <class T>
inline constexpr int chunk = 16 / sizeof(T);

/// A matrix whose rows run along k: element (outer, k) at data[outer * stride + k].
template <class T>
struct RowSource {
  using Element = T;
  static constexpr bool k_contiguous = true;
  const T* data = nullptr;
  std::int64_t stride = 0, batch_stride = 0;
  int outer = 0, inner = 0;
  bool vector = false;

  struct Lane {
    const T* row;
  };
  __device__ void select(int batch) { data += batch * batch_stride; }
  __device__ Lane lane(int position) const { return {position < outer ? data + position * stride : nullptr}; }
  __device__ Place<T> place(const Lane& lane, int k) const {
    if (lane.row == nullptr || k >= inner) return {data, 0};
    return {lane.row + k, min(chunk<T>, inner - k)};
  }
  __device__ T element(const Lane& lane, int k, int offset) const {
    return lane.row != nullptr && k + offset < inner ? lane.row[k + offset] : T(0.0f);
  }
};

/// A matrix whose rows run along outer: element (outer, k) at data[k * stride + outer].
template <class T>
struct ColumnSource {
  using Element = T;
  static constexpr bool k_contiguous = false;
  const T* data = nullptr;
  std::int64_t stride = 0, batch_stride = 0;
  int outer = 0, inner = 0;
  bool vector = false;

  struct Lane {
    int position;
  };
  __device__ void select(int batch) { data += batch * batch_stride; }
  __device__ Lane lane(int position) const { return {position}; }
  __device__ Place<T> place(const Lane& lane, int k) const {
    if (lane.position >= outer || k >= inner) return {data, 0};
    return {data + k * stride + lane.position, min(chunk<T>, outer - lane.position)};
  }
  __device__ T element(const Lane& lane, int k, int offset) const {
    return lane.position + offset < outer && k < inner ? data[k * stride + lane.position + offset] : T(0.0f);
  }
};

/// Rows of C scattered over an image: row m is (sample, i, j) of `rows` x `columns` positions, at pixel
/// (row_first + i step, column_first + j step) of height x width ones.
struct Scatter {
  Divisor columns, rows;
  int row_first = 0, column_first = 0, step = 1, height = 0, width = 0;
  __device__ std::int64_t pixel(int m) const {
    int i, j;
    const int sample = rows.divide(columns.divide(m, j), i);
    return (static_cast<std::int64_t>(sample) * height + row_first + i * step) * width + column_first + j * step;
  }
};

/// c = f(alpha product [+ bias] [+ residual]), f an activation or nothing; residual may be c itself. T is the type of
/// c, that of the operands or wider. Columns from `columns` up go to `tail` instead (one of them: the bias gradient of
/// a filter gradient), where `tail_residual` is added.
template <class T>
struct Output {
  T* c = nullptr;
  const T* residual = nullptr;
  const T* bias = nullptr;
  T* tail = nullptr;
  const T* tail_residual = nullptr;
  float alpha = 1.0f;
  int columns = 0;
  std::int64_t batch_stride = 0;
  bool scattered = false, vector = false;  // vector: four columns at a multiple of four are aligned in every operand
  bool activated = false;
  ActivationKind activation = ActivationKind::silu;
  Scatter scatter;

  __device__ void select(int batch) {
    c += batch * batch_stride;
    if (residual != nullptr) residual += batch * batch_stride;
  }
  __device__ std::int64_t row(int m) const {
    return (scattered ? scatter.pixel(m) : static_cast<std::int64_t>(m)) * columns;
  }
  __device__ void store(int m, std::int64_t row, int n, float sum) const {
    float value = alpha * sum;
    if (n >= columns) {
      if (tail_residual != nullptr) value += static_cast<float>(tail_residual[m]);
      tail[m] = T(value);
      return;
    }
    if (bias != nullptr) value += static_cast<float>(bias[n]);
    if (residual != nullptr) value += static_cast<float>(residual[row + n]);
    c[row + n] = T(finished(value));
  }
  /// Columns n ... n + 3, where they are below `end`.
  __device__ void store_four(int m, std::int64_t row, int n, int end, const Pack<float, 4>& sums) const {
    if (vector && n + 4 <= columns) {
      Pack<float, 4> values;
#pragma unroll
      for (int j = 0; j < 4; ++j) values[j] = alpha * sums[j];
      if (bias != nullptr) add(values, load<4>(bias + n));
      if (residual != nullptr) add(values, load<4>(residual + row + n));
      Pack<T, 4> result;
#pragma unroll
      for (int j = 0; j < 4; ++j) result[j] = T(finished(values[j]));
      store_global(c + row + n, result);
      return;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (n + j < end) store(m, row, n + j, sums[j]);
  }

 private:
  __device__ float finished(float value) const {
    return activated ? activate(activation, value) : value;
  }
  static __device__ void add(Pack<float, 4>& to, const Pack<T, 4>& from) {
#pragma unroll
    for (int j = 0; j < 4; ++j) to[j] += static_cast<float>(from[j]);
  }
};

template <class T>
T* elements(const Array& array) {
  return static_cast<T*>(array.data);
}

/// Bytes of each operand are whole multiples of 16: chunks of rows are aligned.
template <class T>
inline bool is_aligned(const void* data, std::int64_t stride, std::int64_t batch_stride = 0) {
  constexpr std::int64_t elements = chunk<T>;
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % elements == 0 && batch_stride % elements == 0;
}

/// The extents of a product and how its K is split over blocks.
struct Extents {
  int m = 0, n = 0, k = 0;
  int batch = 1;   // independent products; sources and output are told which by select()
  int splits = 1;  // parts of K, each summed into a workspace (batch, split, M, part_columns) and added in order after
  int k_per_split = 0;

  /// N, up to whole packs of four.
  __host__ __device__ int part_columns() const { return (n + 3) / 4 * 4; }
  __host__ __device__ std::int64_t part_elements() const { return static_cast<std::int64_t>(m) * part_columns(); }
};

/// Adds the parts of a split product in order and finishes them, four columns a thread.
template <class T>
__global__ void __launch_bounds__(256) combine_splits_kernel(const float* partial, Extents extents, Output<T> given) {
  const std::int64_t elements = extents.part_elements();
  const int columns = extents.part_columns();
  for (std::int64_t i = 4 * grid_thread(); i < extents.batch * elements; i += 4 * grid_threads()) {
    const int batch = static_cast<int>(i / elements);
    const std::int64_t element = i - batch * elements;
    const float* part = partial + batch * extents.splits * elements + element;
    auto sums = load<4>(part);
    for (int split = 1; split < extents.splits; ++split) {
      const auto further = load<4>(part + split * elements);
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[j] += further[j];
    }
    Output<T> out = given;
    out.select(batch);
    const int m = static_cast<int>(element / columns);
    out.store_four(m, out.row(m), static_cast<int>(element % columns), extents.n, sums);
  }
}

template <class A, class B, class C>
struct Problem {
  A a;
  B b;
  Output<C> out;
  Extents extents;
  float* partial = nullptr;  // the workspace where splits > 1
};

}  // namespace tweedie::gemm
