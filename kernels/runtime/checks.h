#pragma once

#include <string_view>

#include "kernels/runtime/array.h"

namespace tweedie {

/// The checks that contracts share; each throws Error naming the operation, the operand, what it got and expected.
inline void require_shape(std::string_view operation, std::string_view operand, const Array& array,
                          const Shape& expected) {
  require(static_cast<bool>(array), "{}: operand {} is missing, expected shape {}", operation, operand, expected);
  require(array.shape == expected, "{}: {} has shape {}, expected {}", operation, operand, array.shape, expected);
}

inline void require_optional_shape(std::string_view operation, std::string_view operand, const Array& array,
                                   const Shape& expected) {
  if (array) require_shape(operation, operand, array, expected);
}

inline void require_rank(std::string_view operation, std::string_view operand, const Array& array, int rank) {
  require(static_cast<bool>(array), "{}: operand {} is missing", operation, operand);
  require(array.shape.rank() == rank, "{}: {} has shape {}, expected rank {}", operation, operand, array.shape, rank);
}

/// All floating-point operands of an operation share one dtype: that of `first`.
inline void require_same_dtype(std::string_view operation, std::string_view operand, const Array& array,
                               const Array& first) {
  if (array)
    require(array.dtype == first.dtype, "{}: {} is {}, the other operands are {}", operation, operand,
            name_of(array.dtype), name_of(first.dtype));
}

/// What goes with operands of `dtype` but is not stored as they are: statistics, parameters, sums and losses beside
/// bfloat16 operands are float32.
inline DType wide_dtype(DType dtype) {
  return dtype == DType::bfloat16 ? DType::float32 : dtype;
}

/// `array`, where it is present, has the wide dtype of `first`.
inline void require_wide_dtype(std::string_view operation, std::string_view operand, const Array& array,
                               const Array& first) {
  if (array)
    require(array.dtype == wide_dtype(first.dtype), "{}: {} is {}, expected {} beside operands of {}", operation,
            operand, name_of(array.dtype), name_of(wide_dtype(first.dtype)), name_of(first.dtype));
}

inline void require_dtype(std::string_view operation, std::string_view operand, const Array& array, DType dtype) {
  require(array.dtype == dtype, "{}: {} is {}, expected {}", operation, operand, name_of(array.dtype), name_of(dtype));
}

/// Bytes of an operand, 0 where it is absent.
inline double bytes_of(const Array& array) {
  return array ? static_cast<double>(array.bytes()) : 0.0;
}

}  // namespace tweedie
