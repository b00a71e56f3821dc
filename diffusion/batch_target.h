#pragma once

#include "diffusion/data/image_set.h"
#include "diffusion/target.h"

namespace tweedie {

/// The self-normalised estimate of the empirical score over M images of the set that made the states: weights
/// softmax(-|z - alpha x|^2 / (2 sigma^2)) over M - 1 images drawn uniformly (with replacement, the same for a whole
/// step) and the image that made the state. With that image it is unbiased for the set's empirical score: given z and
/// the M images, which are exchangeable, the weights are the probabilities of each having made z (Xu, Tong and Jaakkola
/// 2023; Bertrand et al., arXiv 2506.03719). Without it (M images drawn) it is biased.
class BatchTarget final : public Target {
 public:
  /// `images`: those of the source, in its order. Throws UsageError for M < 1.
  BatchTarget(const data::ImageSet& images, std::int64_t points, bool with_generating = true);
  DrawFields needs() const override { return with_generating_ ? DrawFields::source : DrawFields::none; }
  Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const override;
  std::string name() const override {
    return fmt::format("self-normalised over {} of {} images, {} the generating one", points_, count_,
                       with_generating_ ? "with" : "without");
  }

 private:
  std::int64_t count_, dimension_, points_;
  bool with_generating_;
  std::vector<float> pixels_;  // (n, d)
};

}  // namespace tweedie
