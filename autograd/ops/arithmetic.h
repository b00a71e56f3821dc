#pragma once

#include "autograd/tensor.h"

namespace tweedie {

// Element by element, with NumPy broadcasting where there are two operands.
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);
/// x in another floating dtype, x itself where it has that dtype; the gradient is converted back.
Tensor as_dtype(const Tensor& x, DType dtype);
/// The values of a weight or bias as an operation on x computes with them, rounded to bfloat16 where x is; off the
/// tape, so that the operation gives the parameter's own gradient, unrounded. Throws Error unless the parameter is
/// float32 (float64 beside float64), or undefined.
Tensor parameter_beside(const Tensor& x, std::string_view operation, const Tensor& parameter);
/// factor x + constant.
Tensor scale(const Tensor& x, double factor, double constant = 0.0);

Tensor negate(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);

}  // namespace tweedie
