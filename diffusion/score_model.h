#pragma once

#include <optional>
#include <span>
#include <vector>

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
  /// tr dD/dz of each row, D(z, t) = E[x | z] the denoiser, from models that have it in closed form: (alpha/sigma^2) tr
  /// Cov(x | z) where D is a posterior mean. Empty from those that are differentiated instead. sigma > 0.
  virtual std::optional<std::vector<double>> denoiser_divergence(const Tensor& /*z*/, std::span<const double> /*t*/,
                                                                 const Tensor& /*labels*/ = {}) {
    return {};
  }
  virtual const Process& process() const = 0;
  virtual Device device() const = 0;
};

}  // namespace tweedie
