#include "experiments/selective_underfitting/page.h"

#include <algorithm>
#include <cmath>

#include "diffusion/statistics.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// Error of a region against compute: the mean over seeds, with the standard error over seeds (over evaluation points
/// where there is one seed).
Series error_over_compute(const StudyOutcome& outcome, const std::string& network, const std::string& region,
                          const std::string& weights, const std::string& label, int colour) {
  Series series{.label = label, .x = {}, .y = {}, .spread = Spread::error_bars, .colour = colour};
  if (weights == "raw") series.draw = Draw::dashed;
  for (const std::int64_t step : outcome.plan.checkpoints) {
    std::vector<double> errors, flops;
    double se_of_points = 0.0;
    for (const Json& look : outcome.looks) {
      if (look.at("model") != network || look.at("step") != step) continue;
      for (const Json& entry : look.at("regions"))
        if (entry.at("region") == region && entry.at("weights") == weights) {
          errors.push_back(entry.at("error"));
          flops.push_back(look.at("flops"));
          se_of_points = entry.at("se");
        }
    }
    if (errors.empty()) continue;
    const double centre = mean(errors), half = errors.size() > 1 ? standard_error(errors) : se_of_points;
    series.x.push_back(mean(flops));
    series.y.push_back(centre);
    series.low.push_back(centre - half);
    series.high.push_back(centre + half);
  }
  return series;
}

Plot contrastive_plot(const StudyOutcome& outcome) {
  const auto panel = [&](const std::string& title, const std::string& region) {
    Panel result{.title = title,
                 .x = {.label = "training compute (FLOP)", .logarithmic = true},
                 .y = {.label = "score error, noise units per dimension"},
                 .series = {}};
    int colour = 0;
    for (const std::string& network : outcome.plan.networks)
      result.series.push_back(error_over_compute(outcome, network, region, "ema", network, colour++));
    return result;
  };
  return {.panels = {panel("Supervised: noised training images", "sup"),
                     panel("Extrapolated: the sampler's own states", "ext"),
                     panel("Held-out images, noised", "heldout"), panel("Own samples, noised again", "regenerated")},
          .columns = 2};
}

Plot level_plot(const StudyOutcome& outcome) {
  const std::int64_t last = *std::max_element(outcome.plan.checkpoints.begin(), outcome.plan.checkpoints.end());
  Panel panel{.title = fmt::format("{} at step {}", outcome.examined, last),
              .x = {.label = "noise level t (1 is noise)"},
              .y = {.label = "score error, noise units per dimension", .logarithmic = true},
              .series = {}};
  const std::pair<const char*, const char*> regions[] = {
      {"sup", "supervised"}, {"ext", "extrapolated"}, {"heldout", "held-out"}, {"regenerated", "regenerated"}};
  for (const auto& [region, label] : regions)
    for (const Json& look : outcome.looks) {
      if (look.at("model") != outcome.examined || look.at("step") != last ||
          look.at("seed") != outcome.plan.seeds.front())
        continue;
      for (const Json& entry : look.at("regions"))
        if (entry.at("region") == region && entry.at("weights") == "ema") {
          Series series{.label = label, .x = {}, .y = {}};
          for (const Json& level : entry.at("levels")) {
            series.x.push_back(level.at("t"));
            series.y.push_back(level.at("error"));
          }
          panel.series.push_back(series);
        }
    }
  panel.series.push_back(
      {.label = "zero network, |s*|²", .x = probe_levels(), .y = outcome.norm_by_level, .draw = Draw::dashed});
  return {.panels = {panel}, .panel_width = 640};
}

Plot geometry_plot(const StudyOutcome& outcome) {
  Panel shells{.title = "Distance to the nearest shell",
               .x = {.label = "noise level t"},
               .y = {.label = "r*", .logarithmic = true},
               .series = {}};
  for (const ShellCurve& curve : outcome.findings.shells)
    shells.series.push_back({.label = curve.source == "sup" ? "training states" : "sampler states",
                             .x = curve.t,
                             .y = curve.q50,
                             .low = curve.q05,
                             .high = curve.q95,
                             .spread = Spread::band});
  // Song et al., figures 2b and 4 and the overlap beside it: ImageNet latents, where the transition lies at higher
  // noise.
  shells.series.push_back({.label = "paper, sampler states",
                           .x = {.95, .85, .80, .70, .60, .50, .40, .30, .20, .10},
                           .y = {1.000, 1.008, 1.020, 1.065, 1.155, 1.33, 1.66, 2.29, 3.67, 8.0},
                           .draw = Draw::reference});
  shells.horizontal.push_back({.at = 1.0});
  // Where the two part: the whole range hides it.
  shells.inset = Inset{.x = {.from = 0.3, .to = 0.9, .ticks = {{0.3, "0.3"}, {0.6, "0.6"}, {0.9, "0.9"}}},
                       .y = {.from = 0.9, .to = 1.3, .ticks = {{1.0, "1"}, {1.2, "1.2"}}},
                       .left = 0.42,
                       .width = 0.5,
                       .height = 0.42};
  const RestartCurve& restart = outcome.findings.restart;
  Series recovered{.label = "restart finds its image", .x = restart.t, .y = restart.recovered};
  for (std::size_t i = 0; i < restart.t.size(); ++i) {
    recovered.low.push_back(restart.recovered[i] - restart.standard_error[i]);
    recovered.high.push_back(restart.recovered[i] + restart.standard_error[i]);
  }
  const OverlapCurve& overlap = outcome.findings.overlap;
  Panel transition{
      .title = "Restart and overlap of shells",
      .x = {.label = "noise level t"},
      .y = {.label = "fraction; overlap B(t)", .from = 0.0, .to = 1.05},
      .series = {recovered,
                 {.label = "restart copies it", .x = restart.t, .y = restart.copied},
                 {.label = "overlap, closest pair", .x = overlap.t, .y = overlap.max, .draw = Draw::dashed},
                 {.label = "overlap, 99 % of pairs", .x = overlap.t, .y = overlap.q99, .draw = Draw::dashed},
                 {.label = "overlap, median pair", .x = overlap.t, .y = overlap.q50, .draw = Draw::dashed},
                 {.label = "paper, restart",
                  .x = {.75, .80, .85, .90, .95},
                  .y = {1.0, .98, .78, .25, 0.0},
                  .draw = Draw::reference,
                  .colour = 0},
                 {.label = "paper, closest pair",
                  .x = {.85, .90, .95, 1.0},
                  .y = {.001, .053, .516, 1.0},
                  .draw = Draw::reference,
                  .colour = 2}}};
  return {.panels = {shells, transition}, .panel_height = 460};
}

/// Papers run time in opposite directions, so each level stands with its sigma and log-SNR.
Table level_table(const StudyOutcome& outcome) {
  Table table{.columns = {"t", "σ", "log-SNR", "(σ²/d)|s*|²", "(σ²/d) tr C"}};
  for (const ShellCurve& curve : outcome.findings.shells)
    table.columns.push_back(curve.source == "sup" ? "r*, training states" : "r*, sampler states");
  const Process process = Process::linear();
  for (std::size_t level = 0; level < probe_levels().size(); ++level) {
    const double t = probe_levels()[level];
    std::vector<std::string> row = {
        fmt::format("{:g}", t), fmt::format("{:.3g}", process.sigma(t)), fmt::format("{:.2f}", process.log_snr(t)),
        fmt::format("{:.4g}", outcome.norm_by_level[level]), fmt::format("{:.4g}", outcome.trace_by_level[level])};
    for (const ShellCurve& curve : outcome.findings.shells) row.push_back(fmt::format("{:.3f}", curve.q50[level]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table sample_table(const Json& samples) {
  Table table{.columns = {"criterion", "generated", "held-out images"}, .rows = {}};
  const std::pair<const char*, const char*> names[] = {{"m_third", "m < 1/3"},
                                                       {"sqrt_m_third", "√m < 1/3"},
                                                       {"sqrt_m_half", "√m < 1/2"},
                                                       {"nn_ratio_third", "nearest / second nearest < 1/3"}};
  for (const auto& [key, label] : names)
    table.rows.push_back({label, fmt::format("{:.3f}", samples.at("memorised").at(key).get<double>()),
                          fmt::format("{:.3f}", samples.at("memorised_heldout").at(key).get<double>())});
  return table;
}

}  // namespace

void add_study(Report& report, const StudyOutcome& outcome) {
  report.section(outcome.plan.title);
  report.text(fmt::format(
      "Errors are (σ²/d)|s − s*|², averaged over t = 0.1, …, 0.9, against the exact score of the training set, on {} "
      "evaluation points that are the same for all networks; averaged weights. Seeds {}; bars are standard errors over "
      "{}.",
      outcome.plan.probes, outcome.plan.seeds.size(), outcome.plan.seeds.size() > 1 ? "seeds" : "evaluation points"));
  report.plot(contrastive_plot(outcome), "Error in four regions against training compute.");
  report.plot(level_plot(outcome), "The same by noise level, for the last checkpoint.");
  report.plot(
      geometry_plot(outcome),
      fmt::format("Left: median r* with the 5-95 % band over {} states. Right: {} restarts from noised training "
                  "images, beside the overlap of shells. Hollow marks: the paper, at 4096 dimensions.",
                  outcome.plan.probes, outcome.findings.restart.n));
  report.table(level_table(outcome),
               "The levels in every convention; means at noised training images, medians of r*, t = 1 is noise.");
  report.gallery({picture_from_file(outcome.findings.gallery,
                                    "Odd rows: samples. Even rows: the nearest training image of each.")},
                 fmt::format("{} with averaged weights", outcome.examined));
  report.plot({.panels = {{.title = "Calibrated distance ratio",
                           .x = {.label = "√m(x)"},
                           .y = {.label = "share"},
                           .series = {histogram("generated", outcome.findings.m, 40, 0.0, 1.2),
                                      histogram("held-out", outcome.findings.m_held_out, 40, 0.0, 1.2)}}},
               .panel_width = 560},
              "√m = distance to the nearest training image over the root mean square distance to the fifty nearest.");
  report.table(sample_table(outcome.findings.samples),
               fmt::format("Share of {} images that each criterion calls memorised, beside the same share of held-out "
                           "images; Frechet distance {:.3g} in {}.",
                           outcome.findings.samples.at("n").get<std::int64_t>(),
                           outcome.findings.samples.at("frechet").get<double>(),
                           outcome.findings.samples.at("features").get<std::string>()));
}

}  // namespace tweedie::experiments
