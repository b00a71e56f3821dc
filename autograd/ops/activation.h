#pragma once

#include "autograd/tensor.h"
#include "kernels/activation/activation.h"

namespace tweedie {

Tensor activation(const Tensor& x, ActivationKind kind);
inline Tensor silu(const Tensor& x) {
  return activation(x, ActivationKind::silu);
}
inline Tensor gelu(const Tensor& x) {
  return activation(x, ActivationKind::gelu);
}
inline Tensor gelu_tanh(const Tensor& x) {
  return activation(x, ActivationKind::gelu_tanh);
}
inline Tensor relu(const Tensor& x) {
  return activation(x, ActivationKind::relu);
}

/// Softmax over the last axis.
Tensor softmax(const Tensor& x);

/// Dropout (see kernels/dropout): x (N, ...), samples int64 (N). Returns x itself where probability is 0.
Tensor dropout(const Tensor& x, double probability, const Tensor& samples, std::uint64_t seed, std::uint32_t step);

}  // namespace tweedie
