#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/tensor.h"

namespace tweedie::testing {

/// Compares the backward of `function` with four-point central differences in double precision, element by element of
/// every input, both contracted with one random cotangent. Returns "" where all agree to `tolerance` times the largest
/// gradient entry of that input, else what differed. Non-finite values fail, and so does a gradient that is zero
/// everywhere: it would agree with a backward that does nothing.
std::string gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function, std::span<const Tensor> inputs,
                      double tolerance = 1e-7);

/// Standard normals on the reference device, keyed by `stream`.
Tensor random_tensor(const Shape& shape, std::uint32_t stream, double scale = 1.0, double offset = 0.0);

}  // namespace tweedie::testing
