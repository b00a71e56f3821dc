#pragma once

#include <algorithm>

#include "kernels/conv2d/conv2d_operands.cuh"
#include "kernels/matmul/gemm_plan.cuh"

// The three directions of a convolution as problems of the GEMM kernels, for any of their types.
namespace tweedie::conv2d_gemm {

template <class T>
using Forward = gemm::Problem<PatchSource<T>, gemm::RowSource<T>, T>;
template <class T>
using DataGradient = gemm::Problem<PatchSource<T>, TapSource<T>, T>;
template <class T>
using FilterGradient = gemm::Problem<gemm::ColumnSource<T>, PixelSource<T>, float>;

template <class T>
const T* optional_data(const Array& array) {
  return array ? gemm::elements<T>(array) : nullptr;
}

/// Whether chunks of channels are whole and aligned.
template <class T>
bool whole_chunks(const Array& array) {
  return gemm::is_aligned<T>(array.data, array.shape[-1]);
}

template <class T>
gemm::RowSource<T> filter_rows(const Array& weight, int out, int inner) {
  gemm::RowSource<T> source;
  source.data = gemm::elements<T>(weight);
  source.stride = inner;
  source.outer = out;
  source.inner = inner;
  source.vector = gemm::is_aligned<T>(source.data, inner);
  return source;
}

template <class T>
Forward<T> forward_problem(const Conv2dForward& arguments) {
  const auto& [x, weight, bias, residual, y, geometry, activation] = arguments;
  constexpr std::string_view name = "conv2d_forward";
  const int out = gemm::extent_of(name, y.shape[3]);
  const int positions = gemm::extent_of(name, y.shape.count_between(0, 3));
  const int inner = gemm::extent_of(name, weight.shape.count_between(1, 4));
  Forward<T> problem;
  PatchSource<T>& a = problem.a;
  a.data = gemm::elements<T>(x);
  a.height = gemm::extent_of(name, x.shape[1]);
  a.width = gemm::extent_of(name, x.shape[2]);
  a.channels = gemm::extent_of(name, x.shape[3]);
  a.grid_rows = Divisor(static_cast<int>(y.shape[1]));
  a.grid_columns = Divisor(static_cast<int>(y.shape[2]));
  a.kernel_columns = Divisor(static_cast<int>(weight.shape[2]));
  a.channel_divisor = Divisor(a.channels);
  a.scale = geometry.stride;
  a.row_first = -geometry.pad_top;
  a.column_first = -geometry.pad_left;
  a.outer = positions;
  a.inner = inner;
  a.vector = whole_chunks<T>(x);
  problem.b = filter_rows<T>(weight, out, inner);
  auto& c = problem.out;
  c.c = gemm::elements<T>(y);
  c.bias = optional_data<T>(bias);
  c.residual = optional_data<T>(residual);
  c.activated = activation.has_value();
  c.activation = activation.value_or(ActivationKind::silu);
  c.columns = out;
  c.vector = whole_chunks<T>(y) && gemm::is_aligned<T>(c.bias, 0) && gemm::is_aligned<T>(c.residual, 0);
  problem.extents = {.m = positions, .n = out, .k = inner};
  return problem;
}

/// Pixels of grad_x fall into stride x stride phases by their place within a stride; each phase meets taps of its own
/// and is a product of its own, so that no product with zero is formed. This is the problem of one phase.
template <class T>
DataGradient<T> data_gradient_problem(const Conv2dDataGradient& arguments, int phase_row, int phase_column) {
  const auto& [grad_y, weight, grad_x, geometry, write] = arguments;
  constexpr std::string_view name = "conv2d_data_gradient";
  const int stride = geometry.stride;
  /// One direction of the image: pixels first, first + stride, ... and the taps that meet them.
  struct Phase {
    int pixels, first_tap, taps, first_position;
  };
  const auto phase = [stride](std::int64_t extent, std::int64_t kernel, int first, int pad) {
    const int tap = (first + pad) % stride;
    return Phase{std::max(0, static_cast<int>((extent - first + stride - 1) / stride)), tap,
                 std::max(0, static_cast<int>((kernel - tap + stride - 1) / stride)), (first + pad - tap) / stride};
  };
  const Phase down = phase(grad_x.shape[1], weight.shape[1], phase_row, geometry.pad_top);
  const Phase across = phase(grad_x.shape[2], weight.shape[2], phase_column, geometry.pad_left);
  const std::int64_t out = grad_y.shape[3];
  DataGradient<T> problem;
  problem.extents = {.m = gemm::extent_of(name, grad_x.shape[0] * down.pixels * across.pixels),
                     .n = gemm::extent_of(name, grad_x.shape[3]),
                     .k = gemm::extent_of(name, down.taps * across.taps * out)};
  if (problem.extents.m == 0) return problem;
  PatchSource<T>& a = problem.a;
  a.data = gemm::elements<T>(grad_y);
  a.height = gemm::extent_of(name, grad_y.shape[1]);
  a.width = gemm::extent_of(name, grad_y.shape[2]);
  a.channels = gemm::extent_of(name, out);
  a.grid_rows = Divisor(down.pixels);
  a.grid_columns = Divisor(across.pixels);
  a.kernel_columns = Divisor(std::max(1, across.taps));
  a.channel_divisor = Divisor(std::max(1, a.channels));
  a.row_first = down.first_position;
  a.column_first = across.first_position;
  a.step = -1;
  a.outer = problem.extents.m;
  a.inner = problem.extents.k;
  a.vector = whole_chunks<T>(grad_y);
  TapSource<T>& b = problem.b;
  b.data = gemm::elements<T>(weight);
  b.kernel_columns = static_cast<int>(weight.shape[2]);
  b.channels = problem.extents.n;
  b.filter = weight.shape.count_between(1, 4);
  b.taps_across = a.kernel_columns;
  b.out_divisor = a.channel_divisor;
  b.row_first = down.first_tap;
  b.column_first = across.first_tap;
  b.stride = stride;
  b.inner = problem.extents.k;
  b.vector = whole_chunks<T>(weight);
  auto& c = problem.out;
  c.c = gemm::elements<T>(grad_x);
  if (write == Write::accumulate) c.residual = c.c;
  c.columns = problem.extents.n;
  c.vector = whole_chunks<T>(grad_x);
  c.scattered = stride > 1;
  c.scatter = {.columns = a.grid_columns,
               .rows = a.grid_rows,
               .row_first = phase_row,
               .column_first = phase_column,
               .step = stride,
               .height = static_cast<int>(grad_x.shape[1]),
               .width = static_cast<int>(grad_x.shape[2])};
  return problem;
}

template <class T>
FilterGradient<T> filter_gradient_problem(const Conv2dFilterGradient& arguments) {
  const auto& [x, grad_y, grad_weight, grad_bias, geometry, write] = arguments;
  constexpr std::string_view name = "conv2d_filter_gradient";
  const int out = gemm::extent_of(name, grad_weight.shape[0]);
  const int filter = gemm::extent_of(name, grad_weight.shape.count_between(1, 4));
  const int positions = gemm::extent_of(name, grad_y.shape.count_between(0, 3));
  const int columns = filter + (grad_bias ? 1 : 0);
  FilterGradient<T> problem;
  auto& a = problem.a;
  a.data = gemm::elements<T>(grad_y);
  a.stride = out;
  a.outer = out;
  a.inner = positions;
  a.vector = whole_chunks<T>(grad_y);
  PixelSource<T>& b = problem.b;
  b.data = gemm::elements<T>(x);
  b.height = gemm::extent_of(name, x.shape[1]);
  b.width = gemm::extent_of(name, x.shape[2]);
  b.channels = gemm::extent_of(name, x.shape[3]);
  b.grid_rows = Divisor(static_cast<int>(grad_y.shape[1]));
  b.grid_columns = Divisor(static_cast<int>(grad_y.shape[2]));
  b.kernel_columns = Divisor(static_cast<int>(grad_weight.shape[2]));
  b.channel_divisor = Divisor(b.channels);
  b.stride = geometry.stride;
  b.pad_top = geometry.pad_top;
  b.pad_left = geometry.pad_left;
  b.filter = filter;
  b.outer = columns;
  b.inner = positions;
  b.vector = whole_chunks<T>(x);
  auto& c = problem.out;
  c.c = gemm::elements<float>(grad_weight);
  if (grad_bias) c.tail = gemm::elements<float>(grad_bias);
  if (write == Write::accumulate) c.residual = c.c, c.tail_residual = c.tail;
  c.columns = filter;
  c.vector = gemm::is_aligned<float>(c.c, filter);
  problem.extents = {.m = out, .n = columns, .k = positions};
  return problem;
}

// Each direction: calls run(operation, shape, problem) for the products that make it.

template <class T, class Run>
void forward(const Conv2dForward& arguments, Run run) {
  if (arguments.y.count() > 0) run("conv2d_forward", arguments.y.shape, forward_problem<T>(arguments));
}

template <class T, class Run>
void data_gradient(const Conv2dDataGradient& arguments, Run run) {
  if (arguments.grad_x.count() == 0) return;
  for (int row = 0; row < arguments.geometry.stride; ++row)
    for (int column = 0; column < arguments.geometry.stride; ++column) {
      const auto problem = data_gradient_problem<T>(arguments, row, column);
      if (problem.extents.m > 0) run("conv2d_data_gradient", arguments.grad_x.shape, problem);
    }
}

template <class T, class Run>
void filter_gradient(const Conv2dFilterGradient& arguments, Run run) {
  if (arguments.grad_weight.count() > 0)
    run("conv2d_filter_gradient", arguments.grad_weight.shape, filter_gradient_problem<T>(arguments));
}

}  // namespace tweedie::conv2d_gemm
