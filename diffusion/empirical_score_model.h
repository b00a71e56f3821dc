#pragma once

#include "diffusion/empirical_score.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// The closed-form score of a finite set of images as a score model: what a network that minimised its training loss
/// exactly would answer. Labels are optional: with them a sample sees the images of its class (-1: all). At sigma = 0
/// it answers in x0, with z itself, and throws Error for the other views. Not differentiable.
class EmpiricalScoreModel : public ScoreModel {
 public:
  EmpiricalScoreModel(EmpiricalScore score, const Process& process) : score_(std::move(score)), process_(process) {}

  /// z (N, ...) with score().dimension() numbers a sample, in the order of the images' pixels.
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  std::optional<std::vector<double>> denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                         const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return score_.device(); }
  const EmpiricalScore& score() const { return score_; }

 private:
  EmpiricalScore score_;
  Process process_;
};

}  // namespace tweedie
