#pragma once

#include <fmt/format.h>

#include <vector>

#include "kernels/matmul/matmul.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

struct MatmulCase {
  std::int64_t batch = 1, m = 1, n = 1, k = 1;
  bool transpose_a = false, transpose_b = false, shared_b = false, bias = false;
  double alpha = 1.0;
  Write write = Write::overwrite;
  Fill fill = Fill::normal;
  CaseLevel level = CaseLevel::quick;
  bool residual = false;
  std::optional<ActivationKind> activation = {};
  bool wide = false;  // c stays float32 beside bfloat16 operands
};

inline OperationCase make_case(const MatmulCase& c) {
  OperationCase out;
  out.operation = matrix_multiply.name();
  out.level = c.level;
  out.label =
      fmt::format("b={} m={} n={} k={} {}{}{}{}{}{}{}{}{}{}", c.batch, c.m, c.n, c.k, c.transpose_a ? "T" : "N",
                  c.transpose_b ? "T" : "N", c.shared_b ? " shared" : "", c.bias ? " bias" : "",
                  c.alpha != 1.0 ? fmt::format(" alpha={}", c.alpha) : "", c.write == Write::accumulate ? " add" : "",
                  c.fill == Fill::small_integers ? " int" : "", c.residual ? " residual" : "",
                  c.activation ? fmt::format(" {}", name_of(*c.activation)) : "", c.wide ? " wide" : "");
  const std::int64_t b_batch = c.shared_b ? 1 : c.batch;
  out.operands = {
      {.name = "a", .shape = c.transpose_a ? Shape({c.batch, c.k, c.m}) : Shape({c.batch, c.m, c.k}), .fill = c.fill},
      {.name = "b", .shape = c.transpose_b ? Shape({b_batch, c.n, c.k}) : Shape({b_batch, c.k, c.n}), .fill = c.fill},
      {.name = c.wide ? "wide_c" : "c",
       .shape = Shape({c.batch, c.m, c.n}),
       .role = c.write == Write::accumulate ? Role::accumulated : Role::output,
       .fill = c.fill}};
  if (c.bias) out.operands.push_back({.name = "bias", .shape = Shape({c.n}), .fill = c.fill});
  const std::size_t residual_at = out.operands.size();
  if (c.residual) out.operands.push_back({.name = "residual", .shape = Shape({c.batch, c.m, c.n}), .fill = c.fill});
  out.run = [c, residual_at](Stream& stream, std::span<const Array> arrays) {
    matrix_multiply(stream, {.a = arrays[0],
                             .b = arrays[1],
                             .bias = c.bias ? arrays[3] : Array{},
                             .c = arrays[2],
                             .transpose_a = c.transpose_a,
                             .transpose_b = c.transpose_b,
                             .alpha = c.alpha,
                             .write = c.write,
                             .residual = c.residual ? arrays[residual_at] : Array{},
                             .activation = c.activation});
  };
  return out;
}

inline std::vector<OperationCase> matmul_cases() {
  std::vector<MatmulCase> list;
  // Every transpose with and without a batch, at extents around a vector, a tile and a warp.
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      const MatmulCase base{.transpose_a = transpose_a, .transpose_b = transpose_b};
      const auto add = [&](std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, MatmulCase c) {
        c.batch = batch, c.m = m, c.n = n, c.k = k;
        list.push_back(c);
      };
      add(1, 1, 1, 1, base);
      add(1, 31, 33, 32, base);
      add(1, 7, 129, 65, base);
      add(3, 17, 5, 29, base);
      MatmulCase full = base;
      full.bias = true, full.alpha = 0.5, full.write = Write::accumulate;
      add(1, 64, 37, 53, full);
      full.shared_b = true;
      add(2, 13, 19, 33, full);
      add(1, 1300, 1290, 9, base);  // many large tiles
      MatmulCase exact = base;
      exact.fill = Fill::small_integers;
      add(1, 67, 43, 131, exact);
      add(5, 16, 32, 31, exact);
      exact.shared_b = exact.bias = true;
      add(3, 33, 31, 17, exact);
      exact.alpha = -2.0, exact.write = Write::accumulate;
      add(2, 1, 65, 97, exact);
      exact.level = CaseLevel::exhaustive;
      add(1, 257, 129, 1025, exact);
      add(4, 255, 63, 511, exact);
    }
  for (const std::int64_t extent : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65}) {
    list.push_back({.m = extent, .n = 29, .k = 37, .bias = true, .level = CaseLevel::exhaustive});
    list.push_back({.m = 37, .n = extent, .k = 29, .bias = true, .level = CaseLevel::exhaustive});
    list.push_back({.m = 29, .n = 37, .k = extent, .bias = true, .level = CaseLevel::exhaustive});
  }
  list.push_back({.m = 1, .n = 1, .k = 4099});                                            // a dot product
  list.push_back({.m = 3, .n = 1, .k = 257, .transpose_a = true});                        // a matrix times a vector
  list.push_back({.m = 128, .n = 128, .k = 1});                                           // an outer product
  list.push_back({.m = 9, .n = 10, .k = 0, .bias = true, .fill = Fill::small_integers});  // an empty sum: the bias
  list.push_back({.m = 32, .n = 64, .k = 8191, .transpose_a = true, .write = Write::accumulate});  // a weight gradient
  list.push_back({.m = 257, .n = 127, .k = 33, .transpose_b = true, .bias = true});                // a linear layer
  list.push_back({.m = 5, .n = 7, .k = 3, .bias = true, .alpha = 0.0, .fill = Fill::small_integers});
  // Epilogues: what follows a linear layer, at whole and at odd extents, from tiles of 64 and of 128, with a split sum.
  const auto end_in = [&list](MatmulCase c, bool residual, std::optional<ActivationKind> activation) {
    c.residual = residual, c.activation = activation, c.transpose_b = c.bias = true;
    list.push_back(c);
  };
  end_in({.m = 33, .n = 65, .k = 31}, true, {});
  end_in({.batch = 3, .m = 17, .n = 32, .k = 16}, true, ActivationKind::silu);
  end_in({.m = 64, .n = 128, .k = 48}, false, ActivationKind::gelu_tanh);
  end_in({.m = 31, .n = 7, .k = 9}, false, ActivationKind::gelu);
  end_in({.m = 40, .n = 36, .k = 1031}, true, ActivationKind::silu);
  end_in({.m = 1300, .n = 1292, .k = 9, .fill = Fill::small_integers}, true, ActivationKind::relu);
  // The same gradients from bfloat16 operands, not rounded: by small and large tiles, whole and odd, by parts, in
  // batches.
  const auto gradient_of_weight = [&list](MatmulCase c) {
    c.transpose_a = c.wide = true;
    list.push_back(c);
  };
  gradient_of_weight({.m = 33, .n = 66, .k = 31});
  gradient_of_weight({.m = 64, .n = 48, .k = 1031, .write = Write::accumulate});
  gradient_of_weight({.batch = 3, .m = 17, .n = 5, .k = 29, .alpha = 0.5, .write = Write::accumulate});
  gradient_of_weight({.m = 1300, .n = 1290, .k = 9});
  gradient_of_weight({.m = 67, .n = 44, .k = 131, .fill = Fill::small_integers});
  // The linear layers of unet-s at batch 128 (time embedding, attention), their gradients, and square ones.
  const CaseLevel bench = CaseLevel::benchmark;
  list.push_back({.m = 128, .n = 128, .k = 32, .transpose_b = true, .bias = true, .level = bench});
  list.push_back({.m = 128, .n = 128, .k = 128, .transpose_b = true, .bias = true, .level = bench});
  list.push_back({.m = 8192, .n = 64, .k = 64, .transpose_b = true, .bias = true, .level = bench});
  list.push_back({.m = 8192, .n = 64, .k = 64, .level = bench});
  gradient_of_weight({.m = 64, .n = 64, .k = 8192, .write = Write::accumulate, .level = bench});
  for (const std::int64_t extent : {256, 512, 1024, 2048})
    list.push_back({.m = extent, .n = extent, .k = extent, .level = bench});
  list.push_back({.batch = 1024, .m = 64, .n = 64, .k = 64, .transpose_b = true, .level = bench});

  std::vector<OperationCase> cases;
  for (const MatmulCase& c : list) cases.push_back(make_case(c));
  return cases;
}

}  // namespace tweedie
