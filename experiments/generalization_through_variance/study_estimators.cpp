#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/line_table.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/generalization_through_variance/part.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr double t_min = 1e-2;

/// The weights of many models of figure 2, one row a model.
std::vector<std::vector<double>> weights_of(const EnsemblePlan& plan, std::int64_t first, std::int64_t count) {
  std::vector<std::vector<double>> rows(static_cast<std::size_t>(count));
  parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m)
      rows[static_cast<std::size_t>(m)] = fit_linear(
          *plan.features, plan.draws.process, draw_training(three_points(), plan.draws, first + m), plan.ridge)[0];
  });
  return rows;
}

std::vector<double> average_of(const std::vector<std::vector<double>>& rows) {
  std::vector<double> sum(rows[0].size(), 0.0);
  for (const auto& row : rows)
    for (std::size_t f = 0; f < sum.size(); ++f) sum[f] += row[f] / static_cast<double>(rows.size());
  return sum;
}

/// Gaussian weights with exactly the mean and covariance of `rows`.
std::vector<std::vector<double>> gaussian_like(const std::vector<std::vector<double>>& rows, std::size_t count,
                                               const RandomKey& key) {
  const std::vector<double> centre = average_of(rows);
  const double scale = 1.0 / std::sqrt(static_cast<double>(rows.size()) - 1.0);
  std::vector<std::vector<double>> drawn(count, centre);
  parallel_for(static_cast<std::int64_t>(count), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      for (std::size_t m = 0; m < rows.size(); ++m) {
        const double factor = scale * double{normal(key, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(m))};
        for (std::size_t f = 0; f < centre.size(); ++f)
          drawn[static_cast<std::size_t>(i)][f] += factor * (rows[m][f] - centre[f]);
      }
  });
  return drawn;
}

/// Shares of what each of many models generates.
std::vector<std::vector<double>> shares_of(const LinearFlow& flow, const EnsemblePlan& plan,
                                           const std::vector<std::vector<double>>& weights, const LineBins& bins,
                                           std::int64_t first_stream) {
  std::vector<std::vector<double>> shares(weights.size());
  parallel_for(static_cast<std::int64_t>(weights.size()), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t m = first; m < last; ++m) {
      std::vector<float> state =
          flow_start(plan.draws.process, 1.0, plan.samples, plan.draws.seed, plan.draws.cell, first_stream + m);
      flow.run(weights[static_cast<std::size_t>(m)], state);
      shares[static_cast<std::size_t>(m)] = bin_shares(state, bins);
    }
  });
  return shares;
}

/// One sampler whose every step and sample draws its own denoiser of the ensemble's mean and variance.
std::vector<double> white_noise_shares(const EnsemblePlan& plan, const std::vector<std::vector<double>>& rows,
                                       const std::vector<double>& centre, const LinearFlow& flow, const LineBins& bins,
                                       std::int64_t count) {
  const LineTable average = tabulate(flow.times(), [&](double x, double t) {
    double value = 0.0;
    linear_mean(*plan.features, centre, {&x, 1}, t, {&value, 1});
    return value;
  });
  std::vector<double> phi(static_cast<std::size_t>(plan.features->count()));
  const LineTable deviation = tabulate(flow.times(), [&](double x, double t) {
    plan.features->evaluate({&x, 1}, t, phi);
    double sum = 0.0;
    for (const auto& row : rows) {
      double value = 0.0;
      for (std::size_t f = 0; f < phi.size(); ++f) value += phi[f] * (row[f] - centre[f]);
      sum += value * value;
    }
    return std::sqrt(sum / (static_cast<double>(rows.size()) - 1.0));
  });
  std::vector<float> state = flow_start(plan.draws.process, 1.0, count, plan.draws.seed, plan.draws.cell, 5'000'000);
  run_table_flow(plan.draws.process, flow.times(), average, state, &deviation,
                 {plan.draws.seed, Purpose::sampler_noise, plan.draws.cell}, 0);
  return bin_shares(state, bins);
}

std::vector<double> mean_of(const std::vector<std::vector<double>>& shares) {
  return average_of(shares);
}

Series curve(const std::string& label, std::vector<double> shares, const LineBins& bins, Draw draw, int colour) {
  Series series{.label = label, .y = std::move(shares), .draw = draw, .colour = colour};
  for (std::int64_t bin = 0; bin < bins.count; ++bin) series.x.push_back(bins.centre(bin));
  for (double& value : series.y) value = std::min(value / bins.width(), 4.0);
  return series;
}

}  // namespace

Part run_effective_sde(const PartSettings& settings) {
  const LineBins bins{.count = 100};
  const std::int64_t models = std::max<std::int64_t>(settings.models, 2);
  Part part{.results = {{"cells", Json::array()}}};
  Plot plot;
  const std::vector<std::int64_t> draw_counts = {64, 256, 1024};
  Progress::Stage stage(*settings.progress, "effective-sde", static_cast<std::int64_t>(draw_counts.size()));
  std::uint32_t cell = 500;
  for (const std::int64_t draws : draw_counts) {
    EnsemblePlan plan = line_plan(settings, t_min, draws, cell++);
    plan.samples = std::min<std::int64_t>(settings.samples, 5000);
    const LinearFlow flow(plan.features, plan.draws.process, falling_times(1.0, t_min, plan.steps));
    const auto trained = weights_of(plan, 0, models), again = weights_of(plan, models, models);
    const auto surrogate =
        gaussian_like(trained, static_cast<std::size_t>(models), {settings.seed, Purpose::bootstrap, plan.draws.cell});
    const auto learned = shares_of(flow, plan, trained, bins, 0), repeated = shares_of(flow, plan, again, bins, models),
               gaussian = shares_of(flow, plan, surrogate, bins, 2 * models);
    const std::vector<double> centre = average_of(trained);
    const std::vector<double> flow_of_mean = shares_of(flow, plan, {centre}, bins, 3 * models)[0];
    const std::vector<double> white = white_noise_shares(plan, trained, centre, flow, bins, 20'000);
    const std::vector<double> target = mean_of(learned);
    Json row = {{"P", draws}, {"models", models}};
    const OverModels floor = total_variation_of_mean(repeated, target),
                     quenched = total_variation_of_mean(gaussian, target);
    put(row, "tv_repeated_models", floor);
    put(row, "tv_gaussian_quenched", quenched);
    row["tv_average_denoiser"] = total_variation(flow_of_mean, target);
    row["tv_white_noise"] = total_variation(white, target);
    part.results["cells"].push_back(row);
    plot.panels.push_back(
        {.title = fmt::format("F/P = {:g}", 256.0 / static_cast<double>(draws)),
         .x = {.label = "x", .from = -1.5, .to = 1.5},
         .y = {.label = "density", .from = 0.0, .to = 4.0},
         .series = {curve("trained models", target, bins, Draw::line, 3),
                    curve("Gaussian denoisers, one a sampler", mean_of(gaussian), bins, Draw::line, 0),
                    curve("the average denoiser", flow_of_mean, bins, Draw::dashed, 5),
                    curve("fresh noise each step", white, bins, Draw::dashed, 1)}});
    const double alone = total_variation(flow_of_mean, target);
    part.claims.push_back(
        {.statement = fmt::format("The average learned law is that of Gaussian score noise of the estimators' "
                                  "covariance, frozen for each sampler (Proposition 3.1, F/P = {:g})",
                                  256.0 / static_cast<double>(draws)),
         .verdict = quenched.value <= floor.value + 1.96 * std::hypot(quenched.standard_error, floor.standard_error)
                        ? Verdict::reproduced
                    : quenched.value < alone ? Verdict::not_at_this_scale
                                             : Verdict::contradicted,
         .effect_name = "TV of the Gaussian surrogate to the models' average",
         .effect = quenched.value,
         .low = quenched.value - 1.96 * quenched.standard_error,
         .high = quenched.value + 1.96 * quenched.standard_error,
         .n = plan.samples,
         .seeds = static_cast<int>(models),
         .note =
             fmt::format("a second batch of models: {:.3f}; the average denoiser: {:.3f}; fresh noise at each step: "
                         "{:.3f}",
                         floor.value, alone, total_variation(white, target))});
    stage.advance();
  }
  part.page = [plot, models](Report& report) {
    report.text(fmt::format(
        "Proposition 3.1 replaces the ensemble of {} trained models by Gaussian noise with their covariance V(z, t; "
        "z', "
        "t'). The noise is frozen: one draw of a whole denoiser for a whole sampler. Compared are that surrogate, the "
        "average denoiser without noise, and fresh noise of the same variance at each step.",
        models));
    report.plot(plot, "Average generated density, ε = 0.01. Densities above 4 are cut.");
  };
  return part;
}

Part run_gaussianity(const PartSettings& settings) {
  const std::int64_t models = (settings.quick ? 10 : 40) * settings.models;
  Part part{.results = {{"cells", Json::array()}}};
  const std::vector<std::int64_t> draw_counts = {64, 256, 1024};
  Progress::Stage stage(*settings.progress, "gaussianity", static_cast<std::int64_t>(draw_counts.size()));
  Plot plot;
  std::uint32_t cell = 550;
  for (const std::int64_t draws : draw_counts) {
    const EnsemblePlan plan = line_plan(settings, t_min, draws, cell++);
    const auto weights = weights_of(plan, 0, models);
    Panel panel{.title = fmt::format("F/P = {:g}", 256.0 / static_cast<double>(draws)),
                .x = {.label = "(s − mean)/deviation", .from = -4.0, .to = 4.0},
                .y = {.label = "density"}};
    Series normal_curve{.label = "normal", .draw = Draw::dashed, .colour = 5};
    for (double x = -4.0; x <= 4.0; x += 0.1) {
      normal_curve.x.push_back(x);
      normal_curve.y.push_back(std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi));
    }
    std::vector<double> distances, excesses;
    const double critical =
        1.031 / std::sqrt(static_cast<double>(models));  // 1 %, fitted mean and variance: Lilliefors 1967
    for (const double t : {0.03, 0.1, 0.3})
      for (const double z : {0.0, 0.5, 1.2}) {
        std::vector<double> values;
        for (const auto& w : weights) {
          double value = 0.0;
          linear_mean(*plan.features, w, {&z, 1}, t, {&value, 1});
          values.push_back(value);
        }
        const double centre = mean(values), deviation = std::sqrt(variance(values));
        std::vector<double> third, fourth;
        for (double& value : values) {
          value = (value - centre) / deviation;
          third.push_back(std::pow(value, 3));
          fourth.push_back(std::pow(value, 4) - 3.0);
        }
        std::vector<double> sorted = values;
        std::sort(sorted.begin(), sorted.end());
        double distance = 0.0;
        for (std::size_t i = 0; i < sorted.size(); ++i) {
          const double expected = 0.5 * std::erfc(-sorted[i] / std::numbers::sqrt2);
          distance = std::max({distance, std::abs(expected - static_cast<double>(i) / static_cast<double>(models)),
                               std::abs(expected - static_cast<double>(i + 1) / static_cast<double>(models))});
        }
        Json row = {{"P", draws}, {"z", z}, {"t", t}, {"models", models}};
        put(row, "skewness", over_models(third));
        put(row, "excess_kurtosis", over_models(fourth));
        row["ks_to_normal"] = distance;
        row["ks_critical_1_percent"] = critical;
        part.results["cells"].push_back(row);
        distances.push_back(distance);
        excesses.push_back(mean(fourth));
        if (z == 0.5) {
          Series bars = histogram(fmt::format("t = {:g}", t), values, 32, -4.0, 4.0);
          for (double& value : bars.y) value *= 4.0;  // shares of bins of 1/4 to a density
          bars.draw = Draw::line;
          panel.series.push_back(std::move(bars));
        }
      }
    panel.series.push_back(normal_curve);
    plot.panels.push_back(panel);
    const auto rejected = std::count_if(distances.begin(), distances.end(), [&](double d) { return d > critical; });
    part.claims.push_back(
        {.statement = fmt::format("The estimated score is Gaussian over models (F/P = {:g})",
                                  256.0 / static_cast<double>(draws)),
         .verdict = rejected == 0                                     ? Verdict::reproduced
                    : rejected == static_cast<long>(distances.size()) ? Verdict::contradicted
                                                                      : Verdict::not_at_this_scale,
         .effect_name = "Kolmogorov-Smirnov distance to the fitted normal, median of nine places",
         .effect = quantile(distances, 0.5),
         .low = quantile(distances, 0.0),
         .high = quantile(distances, 1.0),
         .n = static_cast<std::int64_t>(distances.size()),
         .seeds = static_cast<int>(models),
         .note =
             fmt::format("least to largest; 1 % critical value {:.3f}, exceeded at {} places; median excess kurtosis "
                         "{:.1f}",
                         critical, rejected, quantile(excesses, 0.5))});
    stage.advance();
  }
  part.page = [plot, models](Report& report) {
    report.text(
        fmt::format("The path-integral argument keeps the first two cumulants of the estimated score. Here is its "
                    "distribution over {} models, at z = 0.5 and three noise levels.",
                    models));
    report.plot(plot, "Standardised score over models, beside the normal density.");
  };
  return part;
}

}  // namespace tweedie::experiments
