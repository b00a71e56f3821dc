#pragma once

#include <memory>

#include "diffusion/score_model.h"

namespace tweedie {

/// Classifier-free guidance (Ho and Salimans 2022, in the convention where 1 is no guidance): s_null + w (s_class -
/// s_null). All views are affine in the score at the same z and t, and the two weights sum to 1, so that guiding any
/// view guides all. w = 1 is the conditional model, w = 0 the unconditional one; each then costs one evaluation, else
/// two.
class GuidedScore : public ScoreModel {
 public:
  /// `null_label` is the label for which the model answers unconditionally: NetworkScore::null_label, or -1 for the
  /// empirical score of a labelled set.
  GuidedScore(std::shared_ptr<ScoreModel> model, std::int64_t null_label, double guidance);

  /// labels int64 (N), needed unless guidance is 0.
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return model_->process(); }
  Device device() const override { return model_->device(); }
  double guidance() const { return guidance_; }

 private:
  std::shared_ptr<ScoreModel> model_;
  std::int64_t null_label_;
  double guidance_;
};

}  // namespace tweedie
