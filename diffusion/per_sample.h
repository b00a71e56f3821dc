#pragma once

#include <span>

#include "autograd/tensor.h"

namespace tweedie {

/// One number a sample as a tensor that broadcasts over like (N, ...): shape (N, 1, ...), on its device.
Tensor per_sample(std::span<const double> values, const Tensor& like);

/// sum_k factors[k][n] terms[k][n], each term (N, ...) of one shape: the linear combination of samplers and of
/// conversions between views. Differentiable in the terms. A row's bits depend on that row alone: a term whose factors
/// are all 0 is left out and a factor of 1 multiplied or not gives the same value.
struct Term {
  std::span<const double> factors;
  const Tensor& tensor;
};
Tensor combine(std::initializer_list<Term> terms);

/// Throws Error, naming `operation`, unless z is (N, ...) floating with one t a sample.
void check_batch(std::string_view operation, const Tensor& z, std::span<const double> t);

}  // namespace tweedie
