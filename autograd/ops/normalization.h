#pragma once

#include "autograd/tensor.h"

namespace tweedie {

struct GroupNormOptions {
  std::int64_t groups = 1;
  double epsilon = 1e-5;
  bool silu = false;
  Tensor input_shift = {};        // (N, C), added to x before the norm
  Tensor scale = {}, shift = {};  // (N, C), applied after it: h (1 + scale) + shift
};
/// x (N, ..., C), gamma and beta (C): see kernels/group_norm for the formula. Beside a bfloat16 x all else is float32.
Tensor group_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const GroupNormOptions& options);

struct LayerNormOptions {
  double epsilon = 1e-5;
  Tensor scale = {}, shift = {};  // (N, C)
};
/// x (N, T, C) or (N, C); gamma and beta (C), or both undefined. Beside a bfloat16 x all else is float32.
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const LayerNormOptions& options = {});

}  // namespace tweedie
