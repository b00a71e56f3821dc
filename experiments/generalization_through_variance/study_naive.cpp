#include <cmath>

#include "diffusion/naive_sampler.h"
#include "experiments/common/progress.h"
#include "experiments/generalization_through_variance/part.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t sde_steps = 2000;  // of the limit: its own step no longer matters

Series curve(const std::string& label, const std::vector<float>& samples, Draw draw, int colour) {
  const LineBins bins{.count = 100, .from = -1.5, .to = 1.5};
  const std::vector<double> shares = bin_shares(samples, bins);
  Series series{.label = label, .draw = draw, .colour = colour};
  for (std::int64_t bin = 0; bin < bins.count; ++bin) {
    series.x.push_back(bins.centre(bin));
    series.y.push_back(shares[static_cast<std::size_t>(bin)] / bins.width());
  }
  return series;
}

}  // namespace

Part run_naive(const PartSettings& settings) {
  const std::vector<std::int64_t> step_counts = {30, 100, 300, 1000};
  const std::vector<double> kappas = settings.quick ? std::vector{0.1, 0.3} : std::vector{0.03, 0.1, 0.3, 1.0};
  Part part{.results = {{"cells", Json::array()}}};
  NoisySamplerPlan plan{.count = settings.samples, .seed = settings.seed};
  const double critical = kolmogorov_smirnov_critical(plan.count, plan.count, 0.01);
  Progress::Stage stage(*settings.progress, "naive",
                        static_cast<std::int64_t>(kappas.size() * (1 + step_counts.size())));
  Plot plot;
  Panel distances{.title = "Distance to the limit",
                  .x = {.label = "steps", .logarithmic = true},
                  .y = {.label = "Kolmogorov-Smirnov distance", .logarithmic = true},
                  .horizontal = {{critical, "1 % critical"}}};
  for (const double kappa : kappas) {
    plan.kappa = kappa;
    plan.steps = sde_steps;
    plan.first_stream = 0;
    const std::vector<float> limit = effective_sde_samples(three_points(), plan);
    stage.advance();
    Series series{.label = fmt::format("κ = {:g}", kappa)};
    Panel densities{.title = fmt::format("κ = {:g}", kappa),
                    .x = {.label = "x", .from = -1.5, .to = 1.5},
                    .y = {.label = "density"},
                    .series = {curve("effective SDE", limit, Draw::line, 3)}};
    for (const std::int64_t steps : step_counts) {
      plan.steps = steps;
      plan.first_stream += static_cast<std::uint32_t>(plan.count);  // no noise in common with the limit
      const std::vector<float> samples = naive_samples(three_points(), plan);
      const double distance = kolmogorov_smirnov(samples, limit);
      part.results["cells"].push_back({{"kappa", kappa},
                                       {"steps", steps},
                                       {"ks_to_effective_sde", distance},
                                       {"ks_critical_1_percent", critical},
                                       {"gap_mass", gap_masses(samples, three_points(), LineBins{}).gap},
                                       {"gap_mass_effective_sde", gap_masses(limit, three_points(), LineBins{}).gap},
                                       {"n", plan.count}});
      series.x.push_back(static_cast<double>(steps));
      series.y.push_back(distance);
      if (steps == step_counts.front() || steps == step_counts.back())
        densities.series.push_back(curve(fmt::format("naive, {} steps", steps), samples,
                                         steps == step_counts.front() ? Draw::dashed : Draw::line,
                                         steps == step_counts.front() ? 1 : 0));
      stage.advance();
    }
    distances.series.push_back(series);
    if (plot.panels.size() < 2) plot.panels.push_back(densities);
    part.claims.push_back({.statement = fmt::format("The naive sampler becomes the effective SDE as its step shrinks "
                                                    "(Proposition 4.1, κ = {:g})",
                                                    kappa),
                           .verdict = series.y.back() < critical           ? Verdict::reproduced
                                      : series.y.back() < series.y.front() ? Verdict::not_at_this_scale
                                                                           : Verdict::contradicted,
                           .effect_name = fmt::format("KS distance at {} steps", step_counts.back()),
                           .effect = series.y.back(),
                           .low = 0.0,
                           .high = critical,
                           .n = plan.count,
                           .seeds = 0,  // the sampler draws from the exact score: nothing is trained
                           .note = fmt::format("beside it the 1 % critical interval; at {} steps {:.3f}",
                                               step_counts.front(), series.y.front())});
  }
  plot.panels.push_back(distances);
  part.page = [plot, settings](Report& report) {
    report.text(fmt::format(
        "Each Euler step draws x₀ from its posterior and uses s* + √(κ/h)(s̃ − s*) in the place of the score. As h "
        "shrinks this tends to the probability-flow ODE with Ito noise of covariance κDCD. Data {{−1, 0, 1}}, ε = "
        "0.01, "
        "{} samples each; the SDE with {} steps.",
        settings.samples, sde_steps));
    report.plot(plot, "Left: what both generate. Right: Kolmogorov-Smirnov distance against the number of steps.");
  };
  return part;
}

}  // namespace tweedie::experiments
