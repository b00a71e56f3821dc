#pragma once

#include "diffusion/empirical_score.h"
#include "diffusion/posterior_sampler.h"
#include "diffusion/target.h"

namespace tweedie {

// Targets that are functions of the state alone, given a finite set of images: they need no image that made the state,
// so they go with every source, and the set may be another than the one that made the states (D_score against D_region
// of Song et al., arXiv 2510.01378, section 4.3). With `conditional` a labelled state sees the images of its class.

/// The exact empirical score of a set (the objective J0, K = infinity): no variance.
class ExactTarget final : public Target {
 public:
  explicit ExactTarget(std::shared_ptr<const EmpiricalScore> score, bool conditional = false)
      : score_(std::move(score)), conditional_(conditional) {}
  DrawFields needs() const override { return DrawFields::none; }
  Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const override;
  std::string name() const override { return fmt::format("exact score of {} images", score_->count()); }

 private:
  std::shared_ptr<const EmpiricalScore> score_;
  bool conditional_;
};

/// The mean of K conditional scores, each of an image y drawn from the posterior over a set given the state. Unbiased
/// for the set's empirical score; its variance is 1/K of that of denoising score matching, which K = 1 equals in law
/// where the set made the states.
class PosteriorTarget final : public Target {
 public:
  PosteriorTarget(std::shared_ptr<const PosteriorSampler> sampler, std::int64_t draws, bool conditional = false);
  DrawFields needs() const override { return DrawFields::none; }
  Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const override;
  std::string name() const override {
    return fmt::format("mean of {} posterior draws from {} images", draws_, sampler_->count());
  }

 private:
  std::shared_ptr<const PosteriorSampler> sampler_;
  std::int64_t draws_;
  bool conditional_;
};

}  // namespace tweedie
