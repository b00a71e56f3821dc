#pragma once

#include <span>

#include "autograd/tensor.h"
#include "diffusion/process.h"
#include "diffusion/view.h"

namespace tweedie {

/// Anything that answers what the score is: a network, the closed form of a finite data set, an analytic mixture.
class ScoreModel {
 public:
  virtual ~ScoreModel() = default;

  /// z (N, ...) floating on device(), batch first; t one noise level a sample; labels int64 (N), needed by
  /// networks conditioned on a class, optional for data sets that have them, refused by the others: what `view` names
  /// at (z, t), in z's shape. Whether gradients flow to z and to parameters is the model's: those that cannot
  /// differentiate throw Error when z requires a gradient. Throws Error where shapes do not fit and where the view is
  /// infinite (see diffusion/view.h).
  virtual Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) = 0;
  virtual const Process& process() const = 0;
  virtual Device device() const = 0;
};

}  // namespace tweedie
