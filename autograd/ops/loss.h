#pragma once

#include "autograd/tensor.h"

namespace tweedie {

/// A loss a sample: weight[n] mean_j (prediction - target)^2. prediction, target (N, ...), weight (N) or undefined;
/// (N), float32 where prediction and target are bfloat16. Only prediction is differentiated.
Tensor squared_error(const Tensor& prediction, const Tensor& target, const Tensor& weight = {});

}  // namespace tweedie
