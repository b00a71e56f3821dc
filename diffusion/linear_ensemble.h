#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "diffusion/gap_measures.h"
#include "diffusion/linear_flow.h"
#include "diffusion/linear_model.h"

namespace tweedie {

/// Many linear models, each trained on its own draws, and what each of them generates: the distributions whose average
/// is the subject of Vastola 2025.
struct EnsemblePlan {
  std::shared_ptr<const CrossedFeatures> features;
  DrawPlan draws;
  double ridge = 0.1;
  std::int64_t steps = 30;  // of Euler, uniform in t
  std::int64_t samples = 20000, models = 100;
  std::optional<FlowGrid> look_up = {};
  /// Besides each model, one regressed on E[x0 | z, t] at the same inputs and sampled from the same noise: what remains
  /// of an effect there is not owed to the variance of the target.
  bool exact_control = false;
};

/// Trains and samples every model: `model` is its number, `exact` says whether its targets were exact, `samples` are x
/// (n), or x (n) then y (n). Called on several threads, for different models at the same time.
using EnsembleVisitor = std::function<void(std::int64_t model, bool exact, std::span<const float> samples)>;
void run_ensemble(const EnsemblePlan& plan, const PointSet& set, const EnsembleVisitor& visit);

/// What is kept of an ensemble on the line.
struct LineEnsemble {
  std::vector<std::vector<double>> shares;  // one a model: bin_shares
  std::vector<double> gap, near, outside;   // one a model
  std::vector<double> mean_shares() const;
};
/// The ensemble of the plan, and its exact control where asked for (else empty).
struct LineEnsembles {
  LineEnsemble conditional, exact;
};
LineEnsembles run_line_ensemble(const EnsemblePlan& plan, const PointSet& set, const LineBins& bins);

/// bin_shares of `count` samples of the probability-flow ODE under the exact score with the same steps and look-up.
std::vector<double> exact_flow_shares(const EnsemblePlan& plan, const PointSet& set, const LineBins& bins,
                                      std::int64_t count);

}  // namespace tweedie
