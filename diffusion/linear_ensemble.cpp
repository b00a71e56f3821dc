#include "diffusion/linear_ensemble.h"

#include <limits>

#include "kernels/runtime/parallel.h"

namespace tweedie {

void run_ensemble(const EnsemblePlan& plan, const PointSet& set, const EnsembleVisitor& visit) {
  const LinearFlow flow(plan.features, plan.draws.process,
                        falling_times(plan.draws.t_max, plan.draws.t_min, plan.steps), plan.look_up);
  parallel_for(plan.models, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t model = first; model < last; ++model) {
      const LinearDraws draws = draw_training(set, plan.draws, model);
      std::vector<std::vector<double>> more;
      if (plan.exact_control) more.push_back(exact_targets(set, plan.draws.process, draws));
      const auto fits = fit_linear(*plan.features, plan.draws.process, draws, plan.ridge, more);
      const std::vector<float> start = flow_start(plan.draws.process, plan.draws.t_max, set.dimension() * plan.samples,
                                                  plan.draws.seed, plan.draws.cell, model);
      for (std::size_t fit = 0; fit < fits.size(); ++fit) {
        std::vector<float> state = start;
        flow.run(fits[fit], state);
        visit(model, fit > 0, state);
      }
    }
  });
}

std::vector<double> LineEnsemble::mean_shares() const {
  std::vector<double> sum(shares.at(0).size(), 0.0);
  for (const auto& model : shares)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += model[i] / static_cast<double>(shares.size());
  return sum;
}

LineEnsembles run_line_ensemble(const EnsemblePlan& plan, const PointSet& set, const LineBins& bins) {
  const auto models = static_cast<std::size_t>(plan.models);
  LineEnsembles result;
  for (LineEnsemble* ensemble : {&result.conditional, &result.exact}) {
    if (ensemble == &result.exact && !plan.exact_control) break;
    ensemble->shares.resize(models);
    for (auto* values : {&ensemble->gap, &ensemble->near, &ensemble->outside}) values->resize(models);
  }
  run_ensemble(plan, set, [&](std::int64_t model, bool exact, std::span<const float> samples) {
    LineEnsemble& ensemble = exact ? result.exact : result.conditional;
    const auto at = static_cast<std::size_t>(model);
    const GapMasses masses = gap_masses(samples, set, bins);
    ensemble.gap[at] = masses.gap;
    ensemble.near[at] = masses.near;
    ensemble.outside[at] = masses.outside;
    ensemble.shares[at] = bin_shares(samples, bins);
  });
  return result;
}

std::vector<double> exact_flow_shares(const EnsemblePlan& plan, const PointSet& set, const LineBins& bins,
                                      std::int64_t count) {
  // A stream of its own: models are numbered from 0.
  std::vector<float> state = flow_start(plan.draws.process, plan.draws.t_max, count, plan.draws.seed, plan.draws.cell,
                                        std::numeric_limits<std::uint32_t>::max());
  run_exact_flow(set, plan.draws.process, falling_times(plan.draws.t_max, plan.draws.t_min, plan.steps), plan.look_up,
                 state);
  return bin_shares(state, bins);
}

}  // namespace tweedie
