#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "kernels/runtime/dtype.h"

// How far a kernel may be from the double reference: |got - expected| <= absolute + epsilons * eps(dtype) * scale.
// This is the only place that says so. Kernels compute in float32 and round once where they store bfloat16: there, eps
// is float32's and half a unit of the last place of the element is added, unless a row speaks of bfloat16 itself.
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
  std::optional<DType> dtype;  // absent: any; its epsilons are then those of the type that the kernel computes in
  std::string_view reason;     // of an exception to the first rows, with the measured margin
};

/// The first row that fits is the one that counts: exceptions stand above what they are exceptions to.
inline constexpr Tolerance tolerances[] = {
    // The derivatives of exp, sqrt, reciprocal and tanh take y, which the forward has rounded to bfloat16.
    {.operation = "unary_backward",
     .quantity = "grad_x",
     .epsilons = 1.51,
     .scale = Scale::largest,
     .dtype = DType::bfloat16},
    // Probabilities, and gradients of scores, are rounded to bfloat16 on their way to the tensor cores.
    {.operation = "attention_forward",
     .quantity = "out",
     .epsilons = 1,
     .scale = Scale::largest,
     .dtype = DType::bfloat16},
    {.operation = "attention_backward",
     .quantity = "*",
     .epsilons = 2,
     .scale = Scale::largest,
     .absolute = 0x1p-8,
     .dtype = DType::bfloat16,
     .reason =
         "the gradient of a score is a difference of terms of order one, of which one comes from the rounded out: "
         "measured 2.5e-3 where it cancels to 2e-2"},
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
     .epsilons = 32,
     .scale = Scale::largest,
     .exact_on_integers = true,
     .reason = "with AVX2 alone oneDNN adds 4 * 1021 products in one running sum: measured 21 epsilons"},
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
    // Sums of up to 4224 squares in double, in another order: measured 25 epsilons.
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
    {.operation = "layer_norm_backward",
     .quantity = "mean",
     .epsilons = 8,
     .scale = Scale::largest,
     .absolute = 0x1p-24,
     .reason =
         "a mean near 0 of values of order one: bfloat16 values between two powers of two are all rounded the same "
         "way when the centre is taken from them. Measured 0.99 times 2^-24"},
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

/// The error allowed in an element of the given expected value, of an output whose largest one is `largest`. `exact`:
/// the arithmetic makes none, only the rounding to bfloat16 does. `steps`: those of an implementation in several, each
/// of which stores what it has: every one but the last may be wrong by half a unit of the largest.
inline double allowed_error(const Tolerance& tolerance, DType dtype, double expected, double largest, bool exact,
                            int steps) {
  const bool rounded = dtype == DType::bfloat16 && !tolerance.dtype;
  const double scale = tolerance.scale == Scale::largest ? largest : std::abs(expected);
  const double epsilon = epsilon_of(rounded ? DType::float32 : dtype);
  const double arithmetic = exact ? 0.0 : tolerance.absolute + tolerance.epsilons * epsilon * scale;
  if (!rounded) return arithmetic;
  return arithmetic + 0.5 * epsilon_of(dtype) * (std::abs(expected) + arithmetic + (steps - 1) * largest);
}

}  // namespace tweedie::testing_tools
