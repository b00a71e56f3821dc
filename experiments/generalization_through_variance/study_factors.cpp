#include <algorithm>

#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/generalization_through_variance/part.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// One setting of one factor.
struct Setting {
  std::string factor, value;
  EnsemblePlan plan;
  PointSet set;
};

/// The setting that the others vary: 16 x 16 Gaussian features, P = 256, vp from 1 to 0.01.
EnsemblePlan base_plan(const PartSettings& settings, std::uint32_t cell) {
  EnsemblePlan plan = line_plan(settings, 1e-2, 256, cell);
  plan.samples = std::min<std::int64_t>(settings.samples, 5000);
  plan.exact_control = true;
  return plan;
}

std::shared_ptr<const CrossedFeatures> features_of(const FeatureAxis& space, const DrawPlan& draws) {
  const FeatureAxis time{
      .basis = space.basis, .count = space.count, .from = draws.t_min, .to = draws.t_max, .width = space.width};
  return std::make_shared<CrossedFeatures>(std::vector{space}, time);
}

std::vector<Setting> settings_of(const PartSettings& settings) {
  std::vector<Setting> all;
  std::uint32_t cell = 600;
  const auto add = [&](const std::string& factor, const std::string& value,
                       const PointSet& set = three_points()) -> EnsemblePlan& {
    all.push_back({factor, value, base_plan(settings, cell++), set});
    return all.back().plan;
  };
  for (const std::int64_t draws : {64, 256, 1024, 4096})
    add("noisy objective", fmt::format("P = {}", draws)).draws.count = draws;
  // All processes between the log-SNRs of vp at its cut-off and -6: there time features and Euler steps are sensible.
  const Process vp = Process::vp();
  const double high = vp.log_snr(1e-2), low = -6.0;
  for (const char* name : {"vp", "vp-song", "linear", "cosine"}) {
    EnsemblePlan& plan = add("forward process", name);
    plan.draws.process = Process::named(name, {{"t_min", 1e-9}});
    plan.draws.t_min = plan.draws.process.t_at_log_snr(high);
    plan.draws.t_max = plan.draws.process.t_at_log_snr(low);
    plan.features = features_of({}, plan.draws);
  }
  for (const std::int64_t steps : {10, 30, 100, 300})
    add("non-linear sampler", fmt::format("{} steps", steps)).steps = steps;
  for (const std::int64_t side : {4, 8, 12, 16, 24}) {
    EnsemblePlan& plan = add("capacity", fmt::format("F = {}", side * side));
    plan.features = features_of({.count = side}, plan.draws);
  }
  for (const double width : {0.35, 0.5, 0.7, 1.0}) {
    EnsemblePlan& plan = add("features", fmt::format("Gaussian, width {:g}", width));
    plan.features = features_of({.width = width}, plan.draws);
  }
  EnsemblePlan& fourier = add("features", "Fourier");
  fourier.features = features_of({.basis = FlowAxis::Basis::fourier}, fourier.draws);
  add("training set", "−1, 0, 1");
  add("training set", "−1, 1", PointSet({-1.0, 1.0}, 1));
  add("training set", "−1, −0.5, 1", PointSet({-1.0, -0.5, 1.0}, 1));
  add("training set", "−1, −0.5, 0, 0.5, 1", PointSet({-1.0, -0.5, 0.0, 0.5, 1.0}, 1));
  return all;
}

/// The gap mass of the sampler that uses the average of all models' denoisers: it differs from the average gap mass
/// because samples are no linear function of scores.
double gap_of_average(const Setting& setting) {
  std::vector<double> sum;
  for (std::int64_t m = 0; m < setting.plan.models; ++m) {
    const auto fit = fit_linear(*setting.plan.features, setting.plan.draws.process,
                                draw_training(setting.set, setting.plan.draws, m), setting.plan.ridge);
    sum.resize(fit[0].size(), 0.0);
    for (std::size_t f = 0; f < sum.size(); ++f) sum[f] += fit[0][f] / static_cast<double>(setting.plan.models);
  }
  const DrawPlan& draws = setting.plan.draws;
  const LinearFlow flow(setting.plan.features, draws.process,
                        falling_times(draws.t_max, draws.t_min, setting.plan.steps), setting.plan.look_up);
  std::vector<float> state = flow_start(draws.process, draws.t_max, 20'000, draws.seed, draws.cell, 0);
  flow.run(sum, state);
  return gap_masses(state, setting.set, LineBins{}).gap;
}

Panel panel_of(const std::string& factor, const std::vector<Json>& rows) {
  Series noisy{.label = "noisy targets", .draw = Draw::points, .colour = 3},
      exact{.label = "exact targets", .draw = Draw::points, .colour = 0};
  std::string names;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto add = [&](Series& series, const char* name, double shift) {
      const OverModels value = number(rows[i], name);
      series.x.push_back(static_cast<double>(i + 1) + shift);
      series.y.push_back(value.value);
      series.low.push_back(value.value - 1.96 * value.standard_error);
      series.high.push_back(value.value + 1.96 * value.standard_error);
    };
    add(noisy, "gap_mass", -0.06);
    add(exact, "gap_mass_exact_targets", 0.06);
    names += fmt::format("{}{}: {}", i > 0 ? ";  " : "", i + 1, rows[i].at("value").get<std::string>());
  }
  return {.title = factor,
          .x = {.label = names, .from = 0.5, .to = static_cast<double>(rows.size()) + 0.5},
          .y = {.label = "gap mass", .from = 0.0, .to = 0.7},
          .series = {noisy, exact},
          .legend = Legend::top_right};
}

}  // namespace

Part run_factors(const PartSettings& settings) {
  const std::vector<Setting> all = settings_of(settings);
  Part part{.results = {{"cells", Json::array()}}};
  Progress::Stage stage(*settings.progress, "factors", static_cast<std::int64_t>(all.size()));
  const LineBins bins;
  std::vector<std::pair<std::string, std::vector<Json>>> factors;
  for (const Setting& setting : all) {
    const LineEnsembles ensembles = run_line_ensemble(setting.plan, setting.set, bins);
    const auto exact_flow = exact_flow_shares(setting.plan, setting.set, bins, 200'000);
    std::vector<double> differences;
    for (std::size_t m = 0; m < ensembles.exact.gap.size(); ++m)
      differences.push_back(ensembles.conditional.gap[m] - ensembles.exact.gap[m]);
    Json row = {{"factor", setting.factor}, {"value", setting.value}};
    put(row, "gap_mass", over_models(ensembles.conditional.gap));
    put(row, "gap_mass_exact_targets", over_models(ensembles.exact.gap));
    put(row, "gap_mass_owed_to_target_noise", over_models(differences));
    put(row, "near_mass", over_models(ensembles.conditional.near));
    put(row, "tv_to_exact_ode", total_variation_of_mean(ensembles.conditional.shares, exact_flow));
    if (setting.factor == "non-linear sampler") row["gap_mass_average_denoiser"] = gap_of_average(setting);
    part.results["cells"].push_back(row);
    if (factors.empty() || factors.back().first != setting.factor)
      factors.emplace_back(setting.factor, std::vector<Json>{});
    factors.back().second.push_back(row);
    stage.advance();
  }
  Plot plot{.columns = 2, .panel_width = 520, .panel_height = 300};
  for (const auto& [factor, rows] : factors) {
    plot.panels.push_back(panel_of(factor, rows));
    if (factor == "noisy objective") {
      part.claims.push_back(trend_claim("The noise of the objective fills gaps (P = 256)",
                                        "gap mass with noisy minus with exact targets",
                                        number(rows[1], "gap_mass_owed_to_target_noise"), 1, all.front().plan.samples,
                                        settings.models, "paired over models"));
      continue;
    }
    const auto largest_first = [](const Json& a, const Json& b) {
      return number(a, "gap_mass").value < number(b, "gap_mass").value;
    };
    const auto [least, most] = std::minmax_element(rows.begin(), rows.end(), largest_first);
    const OverModels effect = difference(number(*most, "gap_mass"), number(*least, "gap_mass"));
    // Extremes of several settings differ by chance too: Bonferroni over the pairs.
    const double pairs = static_cast<double>(rows.size() * (rows.size() - 1)) / 2.0;
    const double half = student_t_quantile(1.0 - 0.025 / pairs, 1000.0) * effect.standard_error;
    const bool differs = effect.value > half;
    part.claims.push_back({.statement = fmt::format("How far gaps fill depends on: {}", factor),
                           .verdict = differs ? Verdict::reproduced : Verdict::not_at_this_scale,
                           .effect_name = fmt::format("gap mass: {} minus {}", most->at("value").get<std::string>(),
                                                      least->at("value").get<std::string>()),
                           .effect = effect.value,
                           .low = effect.value - half,
                           .high = effect.value + half,
                           .n = all.front().plan.samples,
                           .seeds = static_cast<int>(settings.models),
                           .note = fmt::format("interval widened for the choice among {:g} pairs", pairs)});
  }
  part.page = [plot, results = part.results](Report& report) {
    report.text(
        "The paper names six factors on which generalization depends. Each is varied alone around 16 × 16 Gaussian "
        "features, "
        "P = 256, ε = 0.01 on {−1, 0, 1}; a gap is what lies at least a quarter of the way from both neighbouring "
        "points. "
        "The distance between red and blue is what the target's noise adds.");
    report.plot(plot,
                "Gap mass with noisy targets (red) and with exact ones at the same inputs (blue), 95 % intervals.");
    Table table{
        .columns = {"factor", "setting", "gap", "gap, exact targets", "owed to target noise", "TV to exact ODE"}};
    for (const Json& row : results.at("cells")) {
      const auto text = [&](const char* name) {
        return fmt::format("{:.3f} ± {:.3f}", number(row, name).value, number(row, name).standard_error);
      };
      table.rows.push_back({row.at("factor"), row.at("value"), text("gap_mass"), text("gap_mass_exact_targets"),
                            text("gap_mass_owed_to_target_noise"), text("tv_to_exact_ode")});
    }
    report.table(table, "± standard error over models; 'owed to target noise' is paired over models.");
  };
  return part;
}

}  // namespace tweedie::experiments
