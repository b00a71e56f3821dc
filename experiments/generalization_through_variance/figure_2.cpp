#include <algorithm>
#include <cmath>

#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/generalization_through_variance/part.h"
#include "nn/io/npy.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr double cut_offs[] = {1e-4, 1e-3, 1e-2};
constexpr std::int64_t draw_counts[] = {64, 128, 256, 512, 1024};
constexpr std::int64_t reference_samples = 1'000'000;

/// Mean and quartiles over models of the density, bin by bin.
struct Band {
  std::vector<double> mean, low, high;
};
Band band_of(const LineEnsemble& ensemble, const LineBins& bins) {
  Band band;
  std::vector<double> values(ensemble.shares.size());
  for (std::size_t bin = 0; bin < ensemble.shares[0].size(); ++bin) {
    for (std::size_t m = 0; m < values.size(); ++m) values[m] = ensemble.shares[m][bin] / bins.width();
    band.mean.push_back(mean(values));
    band.low.push_back(quantile(values, 0.25));
    band.high.push_back(quantile(values, 0.75));
  }
  return band;
}

std::vector<double> densities(std::vector<double> shares, const LineBins& bins) {
  for (double& share : shares) share /= bins.width();
  return shares;
}

Json measures_of(const LineEnsemble& ensemble, const std::vector<double>& exact_flow) {
  Json row;
  put(row, "gap_mass", over_models(ensemble.gap));
  put(row, "near_mass", over_models(ensemble.near));
  put(row, "outside_mass", over_models(ensemble.outside));
  put(row, "tv_to_exact_ode", total_variation_of_mean(ensemble.shares, exact_flow));
  return row;
}

/// Distances of the average density to the data smoothed to the cut-off, which a perfect score would give: they tell
/// smoothing by the cut-off apart from what the models add. Beside them what an average over the models hides: how far
/// single models are from their own average.
Json distances_of(const LineEnsemble& ensemble, const std::vector<double>& smoothed, const LineBins& bins,
                  std::int64_t samples) {
  const std::vector<double> average = ensemble.mean_shares();
  const double floor = 0.5 / static_cast<double>(samples * static_cast<std::int64_t>(ensemble.shares.size()));
  std::vector<double> to_average, to_smoothed;
  for (const auto& shares : ensemble.shares) {
    to_average.push_back(total_variation(shares, average));
    to_smoothed.push_back(total_variation(shares, smoothed));
  }
  Json row;
  put(row, "tv_to_smoothed", total_variation_of_mean(ensemble.shares, smoothed));
  row["kl_from_smoothed"] = kullback_leibler(smoothed, average, floor);
  row["wasserstein_to_smoothed"] = wasserstein(average, smoothed, bins.width());
  put(row, "model_tv_to_average", over_models(to_average));
  put(row, "model_tv_to_smoothed", over_models(to_smoothed));
  return row;
}

struct Cell {
  double t_min;
  std::int64_t draws;
  LineEnsembles ensembles;
};

Panel panel_of(const Cell& cell, const std::vector<double>& exact_flow, const std::vector<double>& smoothed,
               const LineBins& bins) {
  std::vector<double> x;
  for (std::int64_t bin = 0; bin < bins.count; ++bin) x.push_back(bins.centre(bin));
  const Band band = band_of(cell.ensembles.conditional, bins);
  Panel panel{
      .title = fmt::format("ε = {:g}, F/P = {:g}", cell.t_min, 256.0 / static_cast<double>(cell.draws)),
      .x = {.from = -1.5, .to = 1.5},
      .y = {.from = 0.0, .to = 6.0},
      .series =
          {{.label = "data smoothed to ε", .x = x, .y = densities(smoothed, bins), .draw = Draw::line, .colour = 5},
           {.label = "PF-ODE, exact score", .x = x, .y = densities(exact_flow, bins), .draw = Draw::line, .colour = 7},
           {.label = "average learned density, quartiles",
            .x = x,
            .y = band.mean,
            .low = band.low,
            .high = band.high,
            .draw = Draw::line,
            .spread = Spread::band,
            .colour = 3}},
      .legend = Legend::none};
  if (!cell.ensembles.exact.shares.empty())
    panel.series.push_back({.label = "average with exact targets",
                            .x = x,
                            .y = densities(cell.ensembles.exact.mean_shares(), bins),
                            .draw = Draw::dashed,
                            .colour = 0});
  // What lies above the panel is cut, as in the paper: the smoothed data are narrow peaks.
  for (Series& series : panel.series)
    for (auto* values : {&series.y, &series.low, &series.high})
      for (double& value : *values) value = std::min(value, 6.0);
  return panel;
}

void add_claims(Part& part, const PartSettings& settings) {
  const Json& cells = part.results.at("cells");
  const std::size_t last_draws = std::size(draw_counts) - 1, last_cut_off = std::size(cut_offs) - 1;
  const auto cell = [&](std::size_t e, std::size_t p) -> const Json& { return cells[e * std::size(draw_counts) + p]; };
  const auto effect = [&](const Json& a, const Json& b) {
    return difference(number(a, "gap_mass"), number(b, "gap_mass"));
  };
  for (std::size_t e = 0; e <= last_cut_off; ++e)
    part.claims.push_back(trend_claim(fmt::format("Gaps fill more as F/P grows (ε = {:g})", cut_offs[e]),
                                      "gap mass at F/P = 4 minus at F/P = 1/4", effect(cell(e, 0), cell(e, last_draws)),
                                      1, settings.samples, settings.models, "interval over models"));
  for (std::size_t p = 0; p <= last_draws; ++p)
    part.claims.push_back(
        trend_claim(fmt::format("Gaps fill more as ε grows (F/P = {:g})", 256.0 / static_cast<double>(draw_counts[p])),
                    "gap mass at ε = 0.01 minus at 0.0001", effect(cell(last_cut_off, p), cell(0, p)), 1,
                    settings.samples, settings.models, "interval over models"));
}

void add_control_claims(Part& part, const std::vector<Cell>& cells, const PartSettings& settings) {
  for (const Cell& cell : cells) {
    if (cell.t_min != 1e-3 || cell.ensembles.exact.gap.empty()) continue;
    std::vector<double> differences;
    for (std::size_t m = 0; m < cell.ensembles.exact.gap.size(); ++m)
      differences.push_back(cell.ensembles.conditional.gap[m] - cell.ensembles.exact.gap[m]);
    part.claims.push_back(trend_claim(
        fmt::format("The target's variance is what fills the gaps: more with noisy targets than with exact ones at the "
                    "same inputs (ε = 0.001, F/P = {:g})",
                    256.0 / static_cast<double>(cell.draws)),
        "gap mass with noisy minus with exact targets", over_models(differences), 1, settings.samples, settings.models,
        fmt::format("paired over models; with exact targets the gap mass is {:.3f}", mean(cell.ensembles.exact.gap))));
  }
}

Table cell_table(const Json& cells) {
  Table table{.columns = {"ε", "P", "F/P", "gap", "near", "outside", "TV to exact ODE"}};
  for (const Json& cell : cells) {
    const auto P = cell.at("P").get<std::int64_t>();
    std::vector<std::string> row = {fmt::format("{:g}", cell.at("eps").get<double>()), std::to_string(P),
                                    fmt::format("{:g}", 256.0 / static_cast<double>(P))};
    for (const char* name : {"gap_mass", "near_mass", "outside_mass", "tv_to_exact_ode"}) {
      const OverModels value = number(cell, name);
      row.push_back(fmt::format("{:.4f} ± {:.4f}", value.value, value.standard_error));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Part run_figure_2(const PartSettings& settings) {
  const LineBins bins;
  Part part{.results = {{"cells", Json::array()}, {"control", Json::array()}, {"distances", Json::array()}}};
  Progress::Stage stage(*settings.progress, "figure 2",
                        static_cast<std::int64_t>(std::size(cut_offs) * std::size(draw_counts)));
  std::vector<Cell> cells;
  Plot plot{.columns = static_cast<int>(std::size(draw_counts)), .panel_width = 270, .panel_height = 210};
  std::vector<float> stored;
  for (const double t_min : cut_offs) {
    std::vector<double> exact_flow;
    for (const std::int64_t draws : draw_counts) {
      EnsemblePlan plan = line_plan(settings, t_min, draws, static_cast<std::uint32_t>(cells.size()));
      plan.exact_control = settings.control;
      if (exact_flow.empty()) exact_flow = exact_flow_shares(plan, three_points(), bins, reference_samples);
      cells.push_back({t_min, draws, run_line_ensemble(plan, three_points(), bins)});
      const Cell& cell = cells.back();
      const Process& process = plan.draws.process;
      const auto smoothed = smoothed_shares(three_points(), process.alpha(t_min), process.sigma(t_min), bins);
      const Json name = {{"eps", t_min}, {"P", draws}};
      const auto keep = [&](const char* list, const Json& numbers) {
        Json row = name;
        row.update(numbers);
        part.results[list].push_back(std::move(row));
      };
      keep("cells", measures_of(cell.ensembles.conditional, exact_flow));
      if (settings.control) keep("control", measures_of(cell.ensembles.exact, exact_flow));
      keep("distances", distances_of(cell.ensembles.conditional, smoothed, bins, settings.samples));
      plot.panels.push_back(panel_of(cell, exact_flow, smoothed, bins));
      for (const auto& shares : cell.ensembles.conditional.shares)
        stored.insert(stored.end(), shares.begin(), shares.end());
      stage.advance();
    }
  }
  io::write_npy(settings.folder->arrays() / "figure_2_shares.npy", stored,
                Shape({std::ssize(cut_offs), std::ssize(draw_counts), settings.models, bins.count}));
  add_claims(part, settings);
  add_control_claims(part, cells, settings);

  Plot singles{.columns = 3, .panel_width = 360, .panel_height = 220};
  for (std::size_t e = 0; e < std::size(cut_offs); ++e) {
    const Cell& cell = cells[e * std::size(draw_counts) + 2];
    Panel panel{.title = fmt::format("six single models, ε = {:g}, F/P = 1", cell.t_min),
                .x = {.label = "x", .from = -1.5, .to = 1.5},
                .y = {.label = "density", .from = 0.0, .to = 6.0},
                .legend = Legend::none};
    for (std::size_t m = 0; m < std::min<std::size_t>(6, cell.ensembles.conditional.shares.size()); ++m) {
      Series series{.y = densities(cell.ensembles.conditional.shares[m], bins), .draw = Draw::line};
      for (std::int64_t bin = 0; bin < bins.count; ++bin) series.x.push_back(bins.centre(bin));
      for (double& value : series.y) value = std::min(value, 6.0);
      panel.series.push_back(std::move(series));
    }
    singles.panels.push_back(std::move(panel));
  }
  part.page = [plot, singles, settings, results = part.results](Report& report) {
    report.text(fmt::format(
        "Data {{−1, 0, 1}}. {} denoisers a panel, each linear in 16 × 16 Gaussian features and fitted in closed form "
        "to P "
        "noisy draws; {} samples of each by 30 Euler steps of the probability-flow ODE. Red: average learned density "
        "with its quartiles over models; blue, dashed: the same with exact targets at the same inputs; brown: the data "
        "smoothed to ε; light blue: the probability-flow ODE under the exact score with the same steps.",
        settings.models, settings.samples));
    report.plot(plot,
                "Average learned density; rows: cut-off ε, columns: F/P from 4 to 1/4. Densities above 6 are cut.");
    report.table(cell_table(results.at("cells")), "Shares of all samples, ± standard error over models.");
    if (settings.control)
      report.table(cell_table(results.at("control")), "The control: targets E[x₀ | z, t] at the same inputs.");
    report.plot(singles, "Single realisations: what the average hides.");
    Table table{
        .columns = {"ε", "P", "TV", "KL (nats)", "Wasserstein", "one model: TV to the average", "TV to smoothed"}};
    for (const Json& row : results.at("distances"))
      table.rows.push_back({fmt::format("{:g}", row.at("eps").get<double>()), std::to_string(row.at("P").get<int>()),
                            fmt::format("{:.3f} ± {:.3f}", number(row, "tv_to_smoothed").value,
                                        number(row, "tv_to_smoothed").standard_error),
                            fmt::format("{:.3f}", row.at("kl_from_smoothed").get<double>()),
                            fmt::format("{:.4f}", row.at("wasserstein_to_smoothed").get<double>()),
                            fmt::format("{:.3f}", number(row, "model_tv_to_average").value),
                            fmt::format("{:.3f}", number(row, "model_tv_to_smoothed").value)});
    report.table(table, "Distance of the average density to the data smoothed to ε, and of single models.");
  };
  return part;
}

}  // namespace tweedie::experiments
