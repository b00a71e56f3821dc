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
