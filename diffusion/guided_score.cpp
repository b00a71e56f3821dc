#include "diffusion/guided_score.h"

#include <cmath>

#include "diffusion/per_sample.h"

namespace tweedie {

GuidedScore::GuidedScore(std::shared_ptr<ScoreModel> model, std::int64_t null_label, double guidance)
    : model_(std::move(model)), null_label_(null_label), guidance_(guidance) {
  require(model_ != nullptr, "guided score: no model");
  require(std::isfinite(guidance), "guided score: guidance {}, expected a finite number", guidance);
}

Tensor GuidedScore::predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels) {
  check_batch("guided score", z, t);
  require(labels.defined() || guidance_ == 0.0, "guided score: class labels are missing");
  if (guidance_ == 1.0) return model_->predict(z, t, view, labels);
  const std::vector<std::int64_t> none(t.size(), null_label_);
  const Tensor unconditional =
      model_->predict(z, t, view, Tensor::from_host(std::span<const std::int64_t>(none), {z.size(0)}, z.device()));
  if (guidance_ == 0.0) return unconditional;
  const Tensor conditional = model_->predict(z, t, view, labels);
  const std::vector<double> w(t.size(), guidance_), rest(t.size(), 1.0 - guidance_);
  return combine({{w, conditional}, {rest, unconditional}});
}

}  // namespace tweedie
