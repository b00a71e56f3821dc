#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "autograd/tensor.h"

namespace tweedie {

/// Where a module stands in its network while it is built: the device of its parameters, and the seed and dotted path
/// that key their initial values. A parameter's start depends on (seed, its full name, its shape) alone, never on what
/// else the network holds or on the order of construction.
struct Scope {
  Device device;
  std::uint64_t seed = 0;
  std::string path;

  Scope in(std::string_view name) const { return {device, seed, join(name)}; }
  std::string join(std::string_view name) const {
    return path.empty() ? std::string(name) : path + "." + std::string(name);
  }
};

/// FNV-1a of a name, 64 bits.
std::uint64_t hash_of(std::string_view name);

// Initial values for the parameter `name` of this scope (float32 numbers, the same on every device).

/// Uniform in (-bound, bound). PyTorch's default for linear and convolution weights and biases is
/// bound = 1/sqrt(fan_in) (He-uniform with a = sqrt(5)).
Tensor initial_uniform(const Scope& scope, std::string_view name, const Shape& shape, double bound);
/// Normal with mean 0.
Tensor initial_normal(const Scope& scope, std::string_view name, const Shape& shape, double standard_deviation);

}  // namespace tweedie
