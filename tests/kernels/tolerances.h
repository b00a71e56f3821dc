#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "kernels/runtime/dtype.h"

// How far a kernel may be from the double reference: |got - expected| <= absolute + epsilons * eps(dtype) * scale.
// This is the only place that says so.
namespace tweedie::testing_tools {

/// What a rounding error is proportional to: the largest finite |expected| of the whole output (sums of products of
/// like size), or the element itself (elementwise functions).
enum class Scale : std::uint8_t { largest, element };

struct Tolerance {
  std::string_view operation;  // "*" stands for any
  std::string_view quantity;   // the operand's name, "*" for any
  double epsilons = 0.0;
  Scale scale = Scale::element;
  double absolute = 0.0;
  /// Operands of small integers give exact results (sums of products only): they are compared bit for bit.
  bool exact_on_integers = false;
  std::optional<DType> dtype;  // absent: any
  std::string_view reason;     // of an exception to the first rows, with the measured margin
};

/// The first row that fits is the one that counts: exceptions stand above what they are exceptions to.
inline constexpr Tolerance tolerances[] = {
    // Sums of products in float32, rounded once to bfloat16: half an epsilon at most.
    {.operation = "matmul",
     .quantity = "*",
     .epsilons = 0.51,
     .scale = Scale::largest,
     .dtype = DType::bfloat16,
     .reason = "integers beyond 8 bits are rounded too"},
    {.operation = "conv2d_forward",
     .quantity = "*",
     .epsilons = 0.51,
     .scale = Scale::largest,
     .dtype = DType::bfloat16},
    {.operation = "conv2d_data_gradient",
     .quantity = "*",
     .epsilons = 0.51,
     .scale = Scale::largest,
     .dtype = DType::bfloat16},
    {.operation = "conv2d_filter_gradient",
     .quantity = "*",
     .epsilons = 0.51,
     .scale = Scale::largest,
     .dtype = DType::bfloat16},
    // Sums of products. The error of a float32 sum grows like the root of its length: measured 3.2 epsilons of the
    // largest element for matmul (length 8191), 10.4 for convolutions (9 * 128) and 19 for filter gradients (6144
    // pixels).
    {.operation = "matmul", .quantity = "*", .epsilons = 8, .scale = Scale::largest, .exact_on_integers = true},
    {.operation = "conv2d_forward",
     .quantity = "*",
     .epsilons = 16,
     .scale = Scale::largest,
     .exact_on_integers = true},
    {.operation = "conv2d_data_gradient",
     .quantity = "*",
     .epsilons = 16,
     .scale = Scale::largest,
     .exact_on_integers = true},
    {.operation = "conv2d_filter_gradient",
     .quantity = "grad_bias",
     .epsilons = 32,
     .scale = Scale::largest,
     .absolute = 6e-5,
     .exact_on_integers = true,
     .reason = "one running sum over up to 6144 pixels: measured 20 epsilons; 2.8e-5 where 3072 terms cancel to 5"},
    {.operation = "conv2d_filter_gradient",
     .quantity = "*",
     .epsilons = 24,
     .scale = Scale::largest,
     .exact_on_integers = true},
    // A rounding of a score of size m is m epsilons of its probability, and scores reach 25 in the cases (measured 20.7
    // epsilons); the gradient of the scores is a difference of terms of order one (measured 1.9e-7 where it cancels).
    {.operation = "attention_forward", .quantity = "*", .epsilons = 32, .scale = Scale::largest},
    {.operation = "attention_backward", .quantity = "*", .epsilons = 32, .scale = Scale::largest, .absolute = 2.4e-7},
    // Sums of up to 784 squares in double, in another order: measured 10 epsilons.
    {.operation = "*", .quantity = "squared_norms", .epsilons = 64},
    // What the empirical score's contract promises.
    {.operation = "evaluate_empirical_score", .quantity = "x0", .epsilons = 80, .scale = Scale::largest},
    {.operation = "evaluate_empirical_score", .quantity = "score", .epsilons = 160, .scale = Scale::largest},
    {.operation = "evaluate_empirical_score", .quantity = "entropy", .epsilons = 8, .absolute = 1e-4},
    {.operation = "evaluate_empirical_score", .quantity = "effective_count", .epsilons = 800},
    {.operation = "evaluate_empirical_score", .quantity = "covariance_trace", .epsilons = 8000, .absolute = 1e-9},
    {.operation = "evaluate_empirical_score", .quantity = "r_star", .epsilons = 80},
    {.operation = "evaluate_empirical_score", .quantity = "log_sum", .epsilons = 8, .absolute = 1e-5},
    {.operation = "reduce",
     .quantity = "*",
     .epsilons = 16,
     .scale = Scale::largest,
     .reason = "4099 terms in one running sum where there are no vectors: measured 10.1 epsilons"},
    // Everything else: a few roundings of the output's largest element.
    {.operation = "*", .quantity = "*", .epsilons = 8, .scale = Scale::largest},
};

inline const Tolerance& tolerance_of(std::string_view operation, std::string_view quantity, DType dtype) {
  for (const Tolerance& row : tolerances)
    if ((row.operation == "*" || row.operation == operation) && (row.quantity == "*" || row.quantity == quantity) &&
        (!row.dtype || *row.dtype == dtype))
      return row;
  return tolerances[std::size(tolerances) - 1];
}

/// The distance from 1 to the next number.
inline double epsilon_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return std::numeric_limits<float>::epsilon();
    case DType::float64:
      return std::numeric_limits<double>::epsilon();
    case DType::bfloat16:
      return 0x1p-7;
    case DType::int64:
    case DType::uint8:
      return 0.0;
  }
  return 0.0;
}

}  // namespace tweedie::testing_tools
