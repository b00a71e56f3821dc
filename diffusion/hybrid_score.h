#pragma once

#include <functional>
#include <memory>

#include "diffusion/empirical_score.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// Two score models of one process, each answering for a part of the states: the exact score for the first part of the
/// reverse path and a network after (Bertrand et al., arXiv 2506.03719), say. Differentiable where the one asked is.
class HybridScore final : public ScoreModel {
 public:
  /// For each row of z (N, ...) at its t: does the first model answer?
  using Choice = std::function<std::vector<bool>(const Tensor& z, std::span<const double> t)>;
  /// Throws Error for models of different processes or devices.
  HybridScore(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second, Choice choice);

  /// The first model at t >= switch_t, the second below.
  static HybridScore by_time(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second, double switch_t);
  /// The first model outside the shells of a data set, r*(z) > limit, the second inside (diffusion/shells.h; r* is the
  /// distance over sigma sqrt(d) to the shell that is nearest). At sigma = 0 the second.
  static HybridScore by_shell(std::shared_ptr<ScoreModel> first, std::shared_ptr<ScoreModel> second,
                              std::shared_ptr<const EmpiricalScore> data, double limit);

  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  /// Where both models have it.
  std::optional<std::vector<double>> denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                         const Tensor& labels = {}) override;
  const Process& process() const override { return first_->process(); }
  Device device() const override { return first_->device(); }

 private:
  std::shared_ptr<ScoreModel> first_, second_;
  Choice choice_;
};

}  // namespace tweedie
