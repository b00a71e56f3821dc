#include <cmath>

#include "diffusion/linear_covariance.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/generalization_through_variance/part.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr double t_min = 1e-2;

/// Variances over models of mu at the queries, each with a standard error by the spread of squared deviations.
std::vector<OverModels> monte_carlo(const CrossedFeatures& features, const DrawPlan& plan, const Queries& queries,
                                    std::int64_t models) {
  std::vector<std::vector<double>> answers(queries.t.size(), std::vector<double>(static_cast<std::size_t>(models)));
  parallel_for(models, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t m = first; m < last; ++m) {
      const auto fit = fit_linear(features, plan.process, draw_training(three_points(), plan, m), 0.1);
      for (std::size_t q = 0; q < queries.t.size(); ++q)
        linear_mean(features, fit[0], {&queries.z[q], 1}, queries.t[q], {&answers[q][static_cast<std::size_t>(m)], 1});
    }
  });
  std::vector<OverModels> variances;
  for (auto& values : answers) {
    const double centre = mean(values);
    for (double& value : values) value = (value - centre) * (value - centre);
    variances.push_back(over_models(values));
  }
  return variances;
}

}  // namespace

Part run_linear(const PartSettings& settings) {
  const FeatureAxis space{.count = 8}, time{.count = 8, .from = t_min, .to = 1.0};
  const CrossedFeatures features({space}, time);
  const std::int64_t F = features.count(), models = (settings.quick ? 2 : 4) * settings.models;
  const std::vector<std::int64_t> ratios =
      settings.quick ? std::vector<std::int64_t>{1, 4, 16, 64} : std::vector<std::int64_t>{1, 4, 16, 64, 256};
  Queries queries;
  for (const double t : {0.05, 0.15, 0.3, 0.6})
    for (const double z : {-0.5, 0.25, 1.0}) {
      queries.t.push_back(t);
      queries.z.push_back(z);
    }
  Part part{.results = {{"cells", Json::array()}}};
  Progress::Stage stage(*settings.progress, "linear", static_cast<std::int64_t>(ratios.size()));
  Series with{.label = "with the misfit"}, without{.label = "target's covariance alone", .draw = Draw::dashed};
  Panel scatter{.title = "Variance of the denoiser, one mark a place and P",
                .x = {.label = "Monte Carlo", .logarithmic = true},
                .y = {.label = "formula", .logarithmic = true}};
  for (const std::int64_t ratio : ratios) {
    const DrawPlan plan{
        .t_min = t_min, .count = ratio * F, .seed = settings.seed, .cell = 300 + static_cast<std::uint32_t>(ratio)};
    DrawPlan population = plan;
    population.cell += 1000;
    const std::vector<OverModels> measured = monte_carlo(features, plan, queries, models);
    const std::size_t count = queries.t.size();
    const auto full = large_sample_covariance(features, three_points(), population, 0.1, queries, 40'000);
    const auto bare = large_sample_covariance(features, three_points(), population, 0.1, queries, 40'000, false);
    // The redraw identity needs no large P: the mean over models of Cov(mu | inputs) is the part of the variance that
    // the noise of the targets makes.
    std::vector<double> redrawn;
    for (std::int64_t m = 0; m < 20; ++m) {
      const auto covariance = redraw_covariance(features, three_points(), plan.process,
                                                draw_training(three_points(), plan, m), 0.1, queries);
      double sum = 0.0;
      for (std::size_t q = 0; q < count; ++q)
        sum += covariance[q * count + q] / measured[q].value / static_cast<double>(count);
      redrawn.push_back(sum);
    }
    std::vector<double> ratio_full, ratio_bare;
    Series marks{.label = fmt::format("P = {} F", ratio), .draw = Draw::points};
    for (std::size_t q = 0; q < count; ++q) {
      ratio_full.push_back(full[q * count + q] / measured[q].value);
      ratio_bare.push_back(bare[q * count + q] / measured[q].value);
      marks.x.push_back(measured[q].value);
      marks.y.push_back(full[q * count + q]);
      part.results["cells"].push_back({{"F", F},
                                       {"P", plan.count},
                                       {"z", queries.z[q]},
                                       {"t", queries.t[q]},
                                       {"variance", measured[q].value},
                                       {"variance_se", measured[q].standard_error},
                                       {"formula", full[q * count + q]},
                                       {"formula_without_misfit", bare[q * count + q]}});
    }
    scatter.series.push_back(marks);
    const OverModels ratio_mean = over_models(ratio_full), bare_mean = over_models(ratio_bare);
    for (auto* series : {&with, &without}) series->x.push_back(static_cast<double>(ratio));
    with.y.push_back(ratio_mean.value);
    with.low.push_back(ratio_mean.value - 1.96 * ratio_mean.standard_error);
    with.high.push_back(ratio_mean.value + 1.96 * ratio_mean.standard_error);
    without.y.push_back(bare_mean.value);
    Json row = {{"F", F}, {"P", plan.count}};
    put(row, "formula_over_monte_carlo", ratio_mean);
    put(row, "without_misfit_over_monte_carlo", bare_mean);
    put(row, "share_of_redrawn_targets", over_models(redrawn));
    part.results["ratios"].push_back(row);
    if (ratio >= 64) {
      const bool agrees = std::abs(ratio_mean.value - 1.0) < 0.1;
      part.claims.push_back(
          {.statement = fmt::format("The large-P covariance of linear models holds (P = {} F)", ratio),
           .verdict = agrees ? Verdict::reproduced : Verdict::contradicted,
           .effect_name = "formula / Monte Carlo variance",
           .effect = ratio_mean.value,
           .low = ratio_mean.value - 1.96 * ratio_mean.standard_error,
           .high = ratio_mean.value + 1.96 * ratio_mean.standard_error,
           .n = static_cast<std::int64_t>(count),
           .seeds = static_cast<int>(models),
           .note = fmt::format("mean over places; without the misfit {:.2f}; noise of the targets "
                               "makes {:.0f} % of the variance",
                               bare_mean.value, 100.0 * mean(redrawn))});
    }
    stage.advance();
  }
  const Plot plot{.panels = {scatter,
                             {.title = "Formula over Monte Carlo",
                              .x = {.label = "P / F", .logarithmic = true},
                              .y = {.label = "ratio", .from = 0.0, .to = 1.6},
                              .series = {with, without},
                              .horizontal = {{1.0, ""}}}}};
  part.page = [plot, models, F](Report& report) {
    report.text(fmt::format(
        "Over training draws the denoiser's variance is, for P much larger than F = {}, κ = F/P times an integral of "
        "the "
        "target's covariance plus the square of the model's misfit (Proposition 5.1). Monte Carlo over {} models.",
        F, models));
    report.plot(plot, "Theory against models: it needs the misfit, and P from about 16 F.");
  };
  return part;
}

}  // namespace tweedie::experiments
