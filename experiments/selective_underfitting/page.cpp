#include "experiments/selective_underfitting/page.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "diffusion/statistics.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// A number of each seed's findings: the mean, and its standard error where there are several.
struct Average {
  double mean = 0.0, error = 0.0;
};
Average average(const std::vector<double>& values) {
  return {mean(values), values.size() > 1 ? standard_error(values) : 0.0};
}
template <typename Of>
Average average(const StudyOutcome& outcome, const Of& of) {
  std::vector<double> values;
  for (const Findings& findings : outcome.findings) values.push_back(of(findings));
  return average(values);
}

void put(Series& series, double x, const Average& y) {
  series.x.push_back(x);
  series.y.push_back(y.mean);
  series.low.push_back(y.mean - y.error);
  series.high.push_back(y.mean + y.error);
}

std::string words(const Average& number, std::size_t seeds) {
  return seeds > 1 ? fmt::format("{:.3f} ± {:.3f}", number.mean, number.error) : fmt::format("{:.3f}", number.mean);
}

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
    put(series, mean(flops), {mean(errors), errors.size() > 1 ? standard_error(errors) : se_of_points});
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
  for (const auto& [region, label] : regions) {
    std::map<double, std::vector<double>> errors;  // of the seeds, by level
    for (const Json& look : outcome.looks) {
      if (look.at("model") != outcome.examined || look.at("step") != last) continue;
      for (const Json& entry : look.at("regions"))
        if (entry.at("region") == region && entry.at("weights") == "ema")
          for (const Json& level : entry.at("levels"))
            errors[level.at("t").get<double>()].push_back(level.at("error").get<double>());
    }
    Series series{.label = label};
    for (const auto& [t, values] : errors) {
      const Average error = average(values);
      put(series, t, error);
      series.low.back() = std::max(series.low.back(), 0.1 * error.mean);  // on a logarithmic axis
    }
    panel.series.push_back(series);
  }
  Series zero{.label = "zero network, |s*|²", .x = {}, .y = {}, .draw = Draw::dashed},
      gaussian{.label = "Wiener's denoiser, supervised", .x = {}, .y = {}, .draw = Draw::dashed};
  for (const Baseline& baseline : outcome.baselines) {
    zero.x.push_back(baseline.t);
    zero.y.push_back(baseline.zero);
    gaussian.x.push_back(baseline.t);
    gaussian.y.push_back(baseline.gaussian);
  }
  panel.series.push_back(zero);
  panel.series.push_back(gaussian);
  return {.panels = {panel}, .panel_width = 640};
}

Plot geometry_plot(const StudyOutcome& outcome) {
  Panel shells{.title = "Distance to the nearest shell",
               .x = {.label = "noise level t"},
               .y = {.label = "r*", .logarithmic = true},
               .series = {}};
  const std::vector<double>& t = outcome.findings.front().supervised.t;
  const std::pair<ShellCurve Findings::*, const char*> sources[] = {{&Findings::supervised, "training states"},
                                                                    {&Findings::extrapolated, "sampler states"}};
  for (const auto& [source, label] : sources) {
    Series band{.label = label, .x = t, .draw = Draw::line, .spread = Spread::band};
    Series seeds{.label = "", .draw = Draw::points, .colour = source == &Findings::supervised ? 0 : 1};
    band.colour = seeds.colour;
    for (std::size_t level = 0; level < t.size(); ++level) {
      const auto of = [&, source = source](std::vector<double> ShellCurve::*quantile) {
        return average(outcome, [&](const Findings& findings) { return (findings.*source.*quantile)[level]; });
      };
      const Average median = of(&ShellCurve::q50);
      band.y.push_back(median.mean);
      band.low.push_back(of(&ShellCurve::q05).mean);
      band.high.push_back(of(&ShellCurve::q95).mean);
      put(seeds, t[level], median);
      seeds.low.back() = std::max(seeds.low.back(), 0.1 * median.mean);  // on a logarithmic axis
    }
    shells.series.push_back(band);
    shells.series.push_back(seeds);
  }
  // Song et al., figures 2b and 4 and the overlap beside it: ImageNet latents, where the transition lies at higher
  // noise.
  shells.series.push_back({.label = "paper, sampler states",
                           .x = {.95, .85, .80, .70, .60, .50, .40, .30, .20, .10},
                           .y = {1.000, 1.008, 1.020, 1.065, 1.155, 1.33, 1.66, 2.29, 3.67, 8.0},
                           .draw = Draw::reference,
                           .colour = 1});
  shells.horizontal.push_back({.at = 1.0});
  // Where the two part: the whole range hides it.
  shells.inset = Inset{.x = {.from = 0.3, .to = 0.9, .ticks = {{0.3, "0.3"}, {0.6, "0.6"}, {0.9, "0.9"}}},
                       .y = {.from = 0.9, .to = 1.3, .ticks = {{1.0, "1"}, {1.2, "1.2"}}},
                       .left = 0.42,
                       .width = 0.5,
                       .height = 0.42};
  Series recovered{.label = "restart finds its image", .colour = 0}, copied{.label = "restart copies it", .colour = 1};
  const RestartCurve& first = outcome.findings.front().restart;
  for (std::size_t i = 0; i < first.t.size(); ++i) {
    Average share = average(outcome, [&](const Findings& findings) { return findings.restart.recovered[i]; });
    if (outcome.findings.size() == 1) share.error = share_error(share.mean, first.n);
    put(recovered, first.t[i], share);
    put(copied, first.t[i], average(outcome, [&](const Findings& findings) { return findings.restart.copied[i]; }));
  }
  const OverlapCurve& overlap = outcome.overlap;
  Panel transition{
      .title = "Restart and overlap of shells",
      .x = {.label = "noise level t"},
      .y = {.label = "fraction; overlap B(t)", .from = 0.0, .to = 1.05},
      .series = {recovered,
                 copied,
                 {.label = "overlap, closest pair", .x = overlap.t, .y = overlap.max, .draw = Draw::dashed},
                 {.label = "overlap, nearest 1 % of pairs", .x = overlap.t, .y = overlap.q99, .draw = Draw::dashed},
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
  Table table{.columns = {"t", "σ", "log-SNR", "(σ²/d)|s*|²", "Wiener's error", "(σ²/d) tr C", "r*, training states",
                          "r*, sampler states"}};
  const Process process = Process::linear();
  for (std::size_t level = 0; level < probe_levels().size(); ++level) {
    const double t = probe_levels()[level];
    const auto median = [&](ShellCurve Findings::*source) {
      return average(outcome, [&](const Findings& findings) { return (findings.*source).q50[level]; });
    };
    table.rows.push_back(
        {fmt::format("{:g}", t), fmt::format("{:.3g}", process.sigma(t)), fmt::format("{:.2f}", process.log_snr(t)),
         fmt::format("{:.4g}", outcome.baselines[level].zero), fmt::format("{:.4g}", outcome.baselines[level].gaussian),
         fmt::format("{:.4g}", outcome.baselines[level].trace),
         fmt::format("{:.3f}", median(&Findings::supervised).mean),
         words(median(&Findings::extrapolated), outcome.findings.size())});
  }
  return table;
}

Table sample_table(const StudyOutcome& outcome) {
  Table table{.columns = {"criterion", "generated", "held-out images"}, .rows = {}};
  const std::pair<const char*, const char*> names[] = {{"m_third", "m < 1/3"},
                                                       {"sqrt_m_third", "√m < 1/3"},
                                                       {"sqrt_m_half", "√m < 1/2"},
                                                       {"nn_ratio_third", "nearest / second nearest < 1/3"}};
  for (const auto& [key, label] : names) {
    const auto share = [&, key = key](const char* of) {
      const Average found =
          average(outcome, [&](const Findings& findings) { return findings.samples.at(of).at(key).get<double>(); });
      return std::string(of) == "memorised" ? words(found, outcome.findings.size()) : fmt::format("{:.3f}", found.mean);
    };
    table.rows.push_back({label, share("memorised"), share("memorised_heldout")});
  }
  return table;
}

}  // namespace

void add_study(Report& report, const StudyOutcome& outcome) {
  report.section(outcome.plan.title);
  report.text(fmt::format(
      "{}: errors are (σ²/d)|s − s*|², averaged over t = 0.1, …, 0.9, against the exact score of the training set, on "
      "{} "
      "evaluation points that are the same for all networks; averaged weights. Seeds {}; bars are standard errors over "
      "{}.",
      outcome.plan.label, outcome.plan.probes, outcome.plan.seeds.size(),
      outcome.plan.seeds.size() > 1 ? "seeds" : "evaluation points"));
  const std::size_t seeds = outcome.findings.size();
  report.plot(contrastive_plot(outcome), "Error in four regions against training compute.");
  report.plot(level_plot(outcome), fmt::format("The same by noise level, for the last checkpoint{}.",
                                               seeds > 1 ? "; bars are standard errors over seeds" : ""));
  report.plot(
      geometry_plot(outcome),
      fmt::format("Left: median r* with the 5-95 % band over {} states{}. Right: {} restarts from noised training "
                  "images{}, beside the overlap of shells. Hollow marks: the paper, at 4096 dimensions.",
                  outcome.plan.probes, seeds > 1 ? ", means over seeds; bars at the medians are standard errors" : "",
                  outcome.findings.front().restart.n,
                  seeds > 1 ? " for each seed, bars are standard errors over seeds" : ", bars are standard errors"));
  report.table(level_table(outcome),
               fmt::format("The levels in every convention; means at noised training images, medians of r*{}, t = 1 is "
                           "noise.",
                           seeds > 1 ? " (mean ± standard error over seeds)" : ""));
  report.gallery({picture_from_file(outcome.findings.front().gallery,
                                    "Odd rows: samples. Even rows: the nearest training image of each.")},
                 fmt::format("{} with averaged weights, seed {}", outcome.examined, outcome.plan.seeds.front()));
  std::vector<double> root_m;
  for (const Findings& findings : outcome.findings)
    root_m.insert(root_m.end(), findings.root_m.begin(), findings.root_m.end());
  report.plot({.panels = {{.title = "Calibrated distance ratio",
                           .x = {.label = "√m(x)"},
                           .y = {.label = "share"},
                           .series = {histogram("generated", root_m, 40, 0.0, 1.2),
                                      histogram("held-out", outcome.findings.front().root_m_held_out, 40, 0.0, 1.2)}}},
               .panel_width = 560},
              "√m = distance to the nearest training image over the root mean square distance to the fifty nearest.");
  const Json& samples = outcome.findings.front().samples;
  const Average frechet =
      average(outcome, [](const Findings& findings) { return findings.samples.at("frechet").get<double>(); });
  report.table(
      sample_table(outcome),
      fmt::format("Share of {} images{} that each criterion calls memorised, beside the same share of held-out "
                  "images; Frechet distance {} in {}.",
                  samples.at("n").get<std::int64_t>(), seeds > 1 ? " a seed (mean ± standard error over seeds)" : "",
                  words(frechet, seeds), samples.at("features").get<std::string>()));
}

}  // namespace tweedie::experiments
