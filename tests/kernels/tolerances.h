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
    // Sums of up to 9 * 128 products: the measured error is at most 2.6 epsilons of the largest element.
    {.operation = "matmul", .quantity = "*", .epsilons = 8, .scale = Scale::largest, .exact_on_integers = true},
    {.operation = "conv2d_forward", .quantity = "*", .epsilons = 8, .scale = Scale::largest, .exact_on_integers = true},
    {.operation = "conv2d_data_gradient",
     .quantity = "*",
     .epsilons = 8,
     .scale = Scale::largest,
     .exact_on_integers = true},
    {.operation = "conv2d_filter_gradient",
     .quantity = "*",
     .epsilons = 8,
     .scale = Scale::largest,
     .exact_on_integers = true},
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
