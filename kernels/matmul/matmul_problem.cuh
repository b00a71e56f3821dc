#pragma once

#include "kernels/matmul/gemm_plan.cuh"
#include "kernels/matmul/matmul.h"

namespace tweedie::gemm {

/// Rows and columns of C as one product or as `batch` of them; a batch that shares b is one product of all its rows.
struct Layout {
  int batch, rows, columns, inner;
  bool shared_b;
};

inline Layout layout_of(const Matmul& arguments) {
  const auto& c = arguments.c.shape;
  const std::int64_t inner = arguments.a.shape[arguments.transpose_a ? 1 : 2];
  const bool shared_b = arguments.b.shape[0] == 1;
  const bool together = shared_b && !arguments.transpose_a;
  return {extent_of("matmul", together ? 1 : c[0]), extent_of("matmul", together ? c[0] * c[1] : c[1]),
          extent_of("matmul", c[2]), extent_of("matmul", inner), shared_b};
}

/// T: the type of c.
template <class T>
Output<T> output_of(const Matmul& arguments, const Layout& layout) {
  Output<T> out;
  out.c = elements<T>(arguments.c);
  if (arguments.write == Write::accumulate) out.residual = out.c;
  if (arguments.residual) out.residual = elements<T>(arguments.residual);
  if (arguments.bias) out.bias = elements<T>(arguments.bias);
  out.activated = arguments.activation.has_value();
  out.activation = arguments.activation.value_or(ActivationKind::silu);
  out.alpha = static_cast<float>(arguments.alpha);
  out.columns = layout.columns;
  out.batch_stride = static_cast<std::int64_t>(layout.rows) * layout.columns;
  out.vector = is_aligned<T>(out.c, layout.columns) && is_aligned<T>(out.bias, layout.columns) &&
               is_aligned<T>(out.residual, layout.columns);
  return out;
}

template <class Source, class T>
Source source_of(const Array& array, std::int64_t stride, int outer, int inner, std::int64_t batch_stride) {
  Source source;
  source.data = elements<T>(array);
  source.stride = stride;
  source.batch_stride = batch_stride;
  source.outer = outer;
  source.inner = inner;
  source.vector = is_aligned<T>(source.data, stride, batch_stride);
  return source;
}

/// Calls run(a, b) with the sources that the transposes ask for.
template <class T, class Run>
void with_sources(const Matmul& arguments, const Layout& layout, Run run) {
  const auto& [batch, rows, columns, inner, shared_b] = layout;
  const std::int64_t a_batch = static_cast<std::int64_t>(rows) * inner;
  const std::int64_t b_batch = shared_b ? 0 : static_cast<std::int64_t>(inner) * columns;
  const auto with_b = [&](const auto& a) {
    if (arguments.transpose_b)
      run(a, source_of<RowSource<T>, T>(arguments.b, inner, columns, inner, b_batch));
    else
      run(a, source_of<ColumnSource<T>, T>(arguments.b, columns, columns, inner, b_batch));
  };
  if (arguments.transpose_a)
    with_b(source_of<ColumnSource<T>, T>(arguments.a, rows, rows, inner, a_batch));
  else
    with_b(source_of<RowSource<T>, T>(arguments.a, inner, rows, inner, a_batch));
}

template <class C, class A, class B>
Problem<A, B, C> problem_of(const Matmul& arguments, const Layout& layout, const A& a, const B& b) {
  return {.a = a,
          .b = b,
          .out = output_of<C>(arguments, layout),
          .extents = {.m = layout.rows, .n = layout.columns, .k = layout.inner, .batch = layout.batch}};
}

/// Calls run(problem) with the product of operands of T as the GEMM kernels take it.
template <class T, class Run>
void with_problem(const Matmul& arguments, Run run) {
  const Layout layout = layout_of(arguments);
  with_sources<T>(arguments, layout, [&]<class A, class B>(const A& a, const B& b) {
    if constexpr (sizeof(T) == 2 && !A::k_contiguous && !B::k_contiguous)
      if (has_wide_result(arguments)) return run(problem_of<float>(arguments, layout, a, b));
    run(problem_of<T>(arguments, layout, a, b));
  });
}

}  // namespace tweedie::gemm
