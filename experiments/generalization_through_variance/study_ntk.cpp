#include <algorithm>
#include <cmath>

#include "diffusion/line_table.h"
#include "diffusion/statistics.h"
#include "diffusion/tangent_kernel.h"
#include "experiments/common/progress.h"
#include "experiments/generalization_through_variance/part.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr double t_min = 1e-2, time_scale = 2.0;
constexpr int hidden_layers = 2;
constexpr std::int64_t draws = 64;

std::vector<double> loss_weights(const Process& process, const LinearDraws& drawn) {
  std::vector<double> weights;
  for (const double t : drawn.t) weights.push_back(std::pow(process.alpha(t) / process.sigma(t), 2));
  return weights;
}

std::vector<double> inputs_of(const LinearDraws& drawn) {
  std::vector<double> inputs;
  for (std::size_t i = 0; i < drawn.t.size(); ++i)
    for (const double value : network_input({&drawn.z[i], 1}, drawn.t[i], time_scale)) inputs.push_back(value);
  return inputs;
}

/// What one model generates at each training time, with noisy and with exact targets.
struct ModelOutcome {
  std::vector<double> gap, near, gap_exact;  // one a training time
  std::vector<std::vector<double>> shares;
};

ModelOutcome run_model(const DrawPlan& plan, std::int64_t model, const std::vector<double>& times, std::int64_t samples,
                       const LineBins& bins) {
  const LinearDraws drawn = draw_training(three_points(), plan, model);
  const std::vector<double> exact = exact_targets(three_points(), plan.process, drawn),
                            weights = loss_weights(plan.process, drawn);
  const KernelFlow flow(inputs_of(drawn), 3, weights, hidden_layers);
  const std::vector<double> steps = falling_times(1.0, t_min, 30);
  LineTable frame;
  std::vector<std::vector<double>> rows;  // kernel rows at all grid points and steps
  for (std::size_t k = 0; k + 1 < steps.size(); ++k)
    for (std::int64_t i = 0; i < frame.count; ++i) {
      const double x = frame.x(i);
      rows.push_back(flow.kernel_row(network_input({&x, 1}, steps[k], time_scale)));
    }
  const std::vector<float> start = flow_start(plan.process, 1.0, samples, plan.seed, plan.cell, model);
  ModelOutcome outcome;
  const auto n = static_cast<std::size_t>(draws);
  for (const double time : times) {
    const std::vector<double> response = flow.response(time / flow.rates().back());
    const auto generate = [&](std::span<const double> targets) {
      std::vector<double> coefficients(n, 0.0);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t k = 0; k < n; ++k) coefficients[i] += response[i * n + k] * targets[k];
      LineTable table;
      for (const auto& row : rows) {
        double value = 0.0;
        for (std::size_t i = 0; i < n; ++i) value += row[i] * coefficients[i];
        table.values.push_back(value);
      }
      std::vector<float> state = start;
      run_table_flow(plan.process, steps, table, state);
      return state;
    };
    const std::vector<float> noisy = generate(drawn.target);
    const GapMasses masses = gap_masses(noisy, three_points(), bins);
    outcome.gap.push_back(masses.gap);
    outcome.near.push_back(masses.near);
    outcome.shares.push_back(bin_shares(noisy, bins));
    outcome.gap_exact.push_back(gap_masses(generate(exact), three_points(), bins).gap);
  }
  return outcome;
}

/// Root mean square of (trained network - kernel flow) over that of what training changed, at places between the
/// inputs.
double deviation_of_width(std::int64_t width, std::uint64_t seed, const DrawPlan& plan) {
  DrawPlan small = plan;
  small.count = 32;
  const LinearDraws drawn = draw_training(three_points(), small, 0);
  const std::vector<double> inputs = inputs_of(drawn);
  std::vector<double> weights = loss_weights(plan.process, drawn);
  for (double& weight : weights) weight = std::min(weight, 10.0);  // the largest are a hundred times the others
  const KernelFlow flow(inputs, 3, weights);
  const double tau = 20.0 / flow.rates().back();
  WideNetwork network(width, 3, seed);
  std::vector<double> residual = drawn.target;
  for (std::size_t i = 0; i < residual.size(); ++i)
    residual[i] -= network.evaluate(std::span(inputs).subspan(3 * i, 3));
  std::vector<std::vector<double>> places;
  for (const double x : {-1.2, -0.5, 0.2, 0.8})
    for (const double t : {0.05, 0.2, 0.5}) places.push_back(network_input({&x, 1}, t, time_scale));
  std::vector<double> before;
  for (const auto& place : places) before.push_back(network.evaluate(place));
  network.train(inputs, drawn.target, weights, tau, 400);
  const std::vector<double> response = flow.response(tau);
  double errors = 0.0, changes = 0.0;
  const std::size_t n = residual.size();
  for (std::size_t p = 0; p < places.size(); ++p) {
    const std::vector<double> row = flow.kernel_row(places[p]);
    double change = 0.0;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < n; ++k) change += row[i] * response[i * n + k] * residual[k];
    errors += std::pow(network.evaluate(places[p]) - before[p] - change, 2);
    changes += change * change;
  }
  return std::sqrt(errors / changes);
}

}  // namespace

Part run_ntk(const PartSettings& settings) {
  const std::vector<double> times = {1.0, 10.0, 100.0, 1e3, 1e4, 1e6};
  const std::int64_t models = std::min<std::int64_t>(settings.models, settings.quick ? 20 : 100);
  const std::vector<std::int64_t> widths = {256, 1024, 4096};
  const LineBins bins;
  const DrawPlan plan{.t_min = t_min, .count = draws, .seed = settings.seed, .cell = 700};
  Part part{.results = {{"cells", Json::array()}, {"widths", Json::array()}}};
  Progress::Stage stage(*settings.progress, "ntk", models + static_cast<std::int64_t>(3 * widths.size()));
  std::vector<ModelOutcome> outcomes(static_cast<std::size_t>(models));
  for (std::int64_t first = 0; first < models; first += 4) {
    const std::int64_t count = std::min<std::int64_t>(4, models - first);
    parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t m = first + begin; m < first + end; ++m)
        outcomes[static_cast<std::size_t>(m)] = run_model(plan, m, times, 2000, bins);
    });
    stage.advance(count);
  }
  Series noisy{.label = "gap, noisy targets", .colour = 3},
      exact{.label = "gap, exact targets", .draw = Draw::dashed, .colour = 0},
      near{.label = "near a point", .colour = 2};
  Panel densities{.title = "Average density",
                  .x = {.label = "x", .from = -1.5, .to = 1.5},
                  .y = {.label = "density", .from = 0.0, .to = 4.0}};
  std::vector<OverModels> gaps;
  for (std::size_t at = 0; at < times.size(); ++at) {
    std::vector<double> gap, close, gap_exact, differences;
    LineEnsemble ensemble;
    for (const ModelOutcome& outcome : outcomes) {
      gap.push_back(outcome.gap[at]);
      close.push_back(outcome.near[at]);
      gap_exact.push_back(outcome.gap_exact[at]);
      differences.push_back(outcome.gap[at] - outcome.gap_exact[at]);
      ensemble.shares.push_back(outcome.shares[at]);
    }
    Json row = {{"training_time", times[at]}, {"P", draws}};
    put(row, "gap_mass", over_models(gap));
    put(row, "near_mass", over_models(close));
    put(row, "gap_mass_exact_targets", over_models(gap_exact));
    put(row, "gap_mass_owed_to_target_noise", over_models(differences));
    part.results["cells"].push_back(row);
    gaps.push_back(over_models(gap));
    const auto extend = [&](Series& series, const OverModels& value) {
      series.x.push_back(times[at]);
      series.y.push_back(value.value);
      series.low.push_back(value.value - 1.96 * value.standard_error);
      series.high.push_back(value.value + 1.96 * value.standard_error);
    };
    extend(noisy, over_models(gap));
    extend(exact, over_models(gap_exact));
    extend(near, over_models(close));
    if (at % 2 == 1) {
      Series series{.label = fmt::format("τμ = {:g}", times[at]), .y = ensemble.mean_shares(), .draw = Draw::line};
      for (std::int64_t bin = 0; bin < bins.count; ++bin) series.x.push_back(bins.centre(bin));
      for (double& value : series.y) value = std::min(value / bins.width(), 4.0);
      densities.series.push_back(std::move(series));
    }
  }
  part.claims.push_back(trend_claim("Training longer fills the gaps less: a lazy network goes from no fit to its data",
                                    "gap mass at τμ = 10⁶ minus at 10", difference(gaps.back(), gaps[1]), -1, 2000,
                                    models, "μ: the kernel's largest rate; interval over models"));
  Series deviations{.label = "three networks a width", .draw = Draw::points};
  std::vector<double> log_width, log_deviation;
  for (const std::int64_t width : widths)
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const double deviation = deviation_of_width(width, settings.seed + seed, plan);
      part.results["widths"].push_back(
          {{"width", width}, {"seed", settings.seed + seed}, {"relative_deviation", deviation}});
      deviations.x.push_back(static_cast<double>(width));
      deviations.y.push_back(deviation);
      log_width.push_back(std::log(static_cast<double>(width)));
      log_deviation.push_back(std::log(deviation));
      stage.advance();
    }
  const Line line = fit_line(log_width, log_deviation);
  part.claims.push_back({.statement = "Networks of growing width approach the kernel like width^(−1/2)",
                         .verdict = line.slope_low <= -0.5 && -0.5 <= line.slope_high ? Verdict::reproduced
                                    : line.slope_high < 0.0                           ? Verdict::not_at_this_scale
                                                                                      : Verdict::contradicted,
                         .effect_name = "slope of log deviation against log width",
                         .effect = line.slope,
                         .low = line.slope_low,
                         .high = line.slope_high,
                         .n = line.n,
                         .seeds = 3,
                         .note = "Student's interval of the line"});
  Series guide{.label = "width^(−1/2)", .draw = Draw::dashed, .colour = 5};
  for (const std::int64_t width : widths) {
    guide.x.push_back(static_cast<double>(width));
    guide.y.push_back(std::exp(mean(log_deviation) - 0.5 * (std::log(static_cast<double>(width)) - mean(log_width))));
  }
  const Plot plot{.panels = {densities,
                             {.title = "Over training",
                              .x = {.label = "training time, in 1/largest rate", .logarithmic = true},
                              .y = {.label = "share of samples", .from = 0.0, .to = 1.0},
                              .series = {noisy, exact, near}},
                             {.title = "Kernel against networks",
                              .x = {.label = "width", .logarithmic = true},
                              .y = {.label = "relative deviation", .logarithmic = true},
                              .series = {deviations, guide}}},
                  .panel_width = 380,
                  .panel_height = 340};
  part.page = [plot, models](Report& report) {
    report.text(fmt::format(
        "A very wide network trained for time τ is kernel regression with its tangent kernel, each mode learned to the "
        "share 1 − exp(−μτ) (Proposition 5.2). {} denoisers on {{−1, 0, 1}} with {} draws each, ReLU, two hidden "
        "layers; "
        "networks: one hidden layer, three seeds a width.",
        models, draws));
    report.plot(plot, "Lazy training: what is generated, gap mass over training time, and how good the limit is.");
  };
  return part;
}

}  // namespace tweedie::experiments
