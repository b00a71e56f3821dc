#pragma once

#include "autograd/tensor.h"
#include "kernels/activation/activation.h"

namespace tweedie {

/// op(a) op(b): a (batch, M, K) or (M, K), b (batch or 1, K, N) or (K, N), each with its last two axes swapped where
/// transposed. Two matrices give a matrix.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

/// x weight' + bias + residual: x (..., in), weight (out, in), bias (out) or undefined, residual (..., out) or
/// undefined; (..., out). Weight and bias are float32 beside a bfloat16 x: they are rounded to it, their gradients are
/// not.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual = {});

/// activation(linear(x, weight, bias), kind); one operation where no gradient is recorded, which would need the value
/// between the two.
Tensor activated_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, ActivationKind kind);

}  // namespace tweedie
