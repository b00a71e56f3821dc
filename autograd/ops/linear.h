#pragma once

#include "autograd/tensor.h"

namespace tweedie {

/// op(a) op(b): a (batch, M, K) or (M, K), b (batch or 1, K, N) or (K, N), each with its last two axes swapped where
/// transposed. Two matrices give a matrix.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

/// x weight' + bias: x (..., in), weight (out, in), bias (out) or undefined; (..., out).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace tweedie
