#pragma once

#include "autograd/tensor.h"

namespace tweedie {

/// softmax(scale q k') v for each sample and head: q (N, T, heads, D), k and v (N, S, heads, D); (N, T, heads, D).
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, double scale);

}  // namespace tweedie
