#pragma once

#include <memory>

#include "autograd/tensor.h"

namespace tweedie {

/// While one lives, operations on this thread record only what leads to `leaf`: all other leaves count as constants and
/// gather nothing. For derivatives with respect to an input, which must not touch the parameters' gradients.
class GradientsTo {
 public:
  /// Throws Error unless `leaf` is a leaf that requires a gradient.
  explicit GradientsTo(const Tensor& leaf);
  ~GradientsTo();
  GradientsTo(const GradientsTo&) = delete;
  GradientsTo& operator=(const GradientsTo&) = delete;

 private:
  std::shared_ptr<autograd::GradientSlot> previous_;
};

}  // namespace tweedie
