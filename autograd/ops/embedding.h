#pragma once

#include "autograd/tensor.h"

namespace tweedie {

struct SinusoidalOptions {
  bool cos_first = false;
  double frequency_shift = 1.0, scale = 1.0, max_period = 10000.0;
};
/// t (N) to (N, dim); not differentiable in t (a t that requires a gradient is an Error).
Tensor sinusoidal_embedding(const Tensor& t, std::int64_t dim, const SinusoidalOptions& options = {});
/// t (N), frequencies (F) to (N, 2 F); not differentiable in t or frequencies.
Tensor fourier_embedding(const Tensor& t, const Tensor& frequencies, bool take_log, bool cos_first);
/// table (K, C), indices int64 (N) to (N, C). Indices are checked.
Tensor embedding(const Tensor& table, const Tensor& indices);

}  // namespace tweedie
