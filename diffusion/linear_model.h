#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "diffusion/features.h"
#include "diffusion/point_set.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// The training draws of one model: inputs z (P, d) with their times t (P), and what x0 is regressed on there.
struct LinearDraws {
  std::vector<double> z, t, target;
  std::int64_t count() const { return static_cast<std::int64_t>(t.size()); }
};

/// Where draws come from: x0 uniform over the set, t ~ U[t_min, t_max], z = alpha x0 + sigma e.
struct DrawPlan {
  Process process = Process::vp();
  double t_min = 1e-3, t_max = 1.0;
  std::int64_t count = 256;  // P
  std::uint64_t seed = 0;
  std::uint32_t cell = 0;  // draws of other cells, and of other models, are independent
};
/// The draws of model `model` with targets x0 (denoising score matching).
LinearDraws draw_training(const PointSet& set, const DrawPlan& plan, std::int64_t model);
/// E[x0 | z, t] at the same inputs: the targets without their noise.
std::vector<double> exact_targets(const PointSet& set, const Process& process, const LinearDraws& draws);

/// W (d, F) of the denoiser mu = W phi(z, t) by ridge regression in closed form (Vastola 2025): W = A (S + ridge I)^-1
/// with S = mean l phi phi', A = mean l target phi', l = alpha^2/sigma^2; solved as F or as P equations, whichever are
/// fewer. `more`: further targets (P, d) at the same inputs, which share the factorisation; one W each is returned
/// after the first. Throws Error where sizes do not fit.
std::vector<std::vector<double>> fit_linear(const FeatureMap& features, const Process& process,
                                            const LinearDraws& draws, double ridge,
                                            std::span<const std::vector<double>> more = {});

/// The same W by gradient descent from 0 on 1/2 mean l |W phi - target|^2 + ridge/2 |W|^2: `steps` steps of
/// `rate` / (largest eigenvalue of S + ridge I), which must be in (0, 2); Error otherwise.
std::vector<double> descend_linear(const FeatureMap& features, const Process& process, const LinearDraws& draws,
                                   double ridge, std::int64_t steps, double rate = 1.0);

/// mu(z, t) = W phi(z, t) into mean (d).
void linear_mean(const FeatureMap& features, std::span<const double> weights, std::span<const double> z, double t,
                 std::span<double> mean);

/// A linear-in-features denoiser as a score model; double on the host, not differentiable.
class LinearScore final : public ScoreModel {
 public:
  /// weights (d, F). Throws Error where they do not fit the features.
  LinearScore(std::shared_ptr<const FeatureMap> features, std::vector<double> weights, const Process& process,
              Device device = {});
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

 private:
  std::shared_ptr<const FeatureMap> features_;
  std::vector<double> weights_;
  Process process_;
  Device device_;
};

}  // namespace tweedie
