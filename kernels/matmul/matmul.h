#pragma once

#include <optional>

#include "kernels/activation/activation.h"
#include "kernels/runtime/operation.h"

namespace tweedie {

/// c (write) f(alpha op(a) op(b) [+ bias] [+ residual]): a (batch, M, K), or (batch, K, M) with transpose_a; b (batch
/// or 1, K, N), or (batch or 1, N, K) with transpose_b (a batch of 1 is shared by all); c (batch, M, N); bias (N),
/// optional, added once; residual (batch, M, N), optional, not c; f an activation, optional. Neither goes with
/// accumulating. A linear layer is a = x (1, rows, in), b = weight (1, out, in) with transpose_b, bias (out). Its
/// derivatives are matmuls again, and the bias gradient is a Reduce over rows. Operands are all float32 or all
/// bfloat16; only the gradient of a weight, grad_y' x, is a float32 sum where grad_y and x are bfloat16: c may be
/// float32 beside them with transpose_a alone and no bias, residual or activation. bytes: a + b + bias + residual + c
/// (c twice when accumulating); flops: 2 batch M N K.
struct Matmul {
  Array a, b, bias, c;
  bool transpose_a = false, transpose_b = false;
  double alpha = 1.0;
  Write write = Write::overwrite;
  Array residual;
  std::optional<ActivationKind> activation;
};
void validate(const Matmul& arguments);
/// Whether c is float32 beside bfloat16 operands.
bool has_wide_result(const Matmul& arguments);
double flops(const Matmul& arguments);
double bytes_moved(const Matmul& arguments);
extern Operation<Matmul> matrix_multiply;

}  // namespace tweedie
