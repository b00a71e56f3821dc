#include "experiments/target_variance/page.h"

#include <algorithm>
#include <functional>

#include "experiments/common/run_folder.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

VarianceStudy part_of(const VarianceStudy& study, const std::string& data) {
  VarianceStudy part;
  for (std::size_t i = 0; i < study.cells.size(); ++i)
    if (study.results[i].at("data") == data) {
      part.cells.push_back(study.cells[i]);
      part.results.push_back(study.results[i]);
      if (!study.likelihoods.empty()) part.likelihoods.push_back(study.likelihoods[i]);
    }
  for (const TraceCurve& curve : study.traces)
    if (curve.data == data) part.traces.push_back(curve);
  return part;
}

/// One measure along the dial, a line a size.
Panel dial_panel(const VarianceStudy& part, const std::vector<Json>& results, const SweepMeasure& measure) {
  Panel panel = sweep_panel(part.cells, results, measure, "target");
  panel.x.label = "draws K of the target's mean";
  for (auto& [at, label] : panel.x.ticks) label = dial_of(label);
  for (Series& series : panel.series) {
    const std::size_t size = series.label.find("subset ");
    if (size != std::string::npos) series.label = "N = " + series.label.substr(size + 7);
  }
  return panel;
}

Plot trace_plot(const VarianceStudy& part) {
  Panel trace{.title = "Variance of the target",
              .x = {.label = "noise level t (1 is noise)"},
              .y = {.label = "share tr C / (tr C + |s*|²)", .from = 0.0, .to = 1.0},
              .series = {}};
  Panel count{.title = "Images that a state could have come from",
              .x = {.label = "noise level t (1 is noise)"},
              .y = {.label = "effective number, exp(entropy)", .logarithmic = true},
              .series = {}};
  for (const TraceCurve& curve : part.traces) {
    Series share{.label = fmt::format("N = {}", curve.count), .x = curve.t, .y = {}};
    for (std::size_t i = 0; i < curve.t.size(); ++i)
      share.y.push_back(curve.trace[i] / (curve.trace[i] + curve.norm[i]));
    trace.series.push_back(share);
    count.series.push_back({.label = share.label, .x = curve.t, .y = curve.effective});
  }
  return {.panels = {trace, count}};
}

Table trace_table(const VarianceStudy& part) {
  Table table{.columns = {"N", "t", "σ", "log-SNR", "(σ²/d) tr C", "(σ²/d)|s*|²", "effective number"}};
  for (const TraceCurve& curve : part.traces)
    for (std::size_t i = 0; i < curve.t.size(); ++i)
      table.rows.push_back({std::to_string(curve.count), fmt::format("{:g}", curve.t[i]),
                            fmt::format("{:.3g}", curve.sigma[i]), fmt::format("{:.2f}", curve.log_snr[i]),
                            fmt::format("{:.3g}", curve.trace[i]), fmt::format("{:.3g}", curve.norm[i]),
                            fmt::format("{:.3g}", curve.effective[i])});
  return table;
}

/// Samples of the first seed's networks in the plane, at the ends of the dial, around the points they learned from.
Plot scatter_plot(const VarianceStudy& part, const RunFolder& folder) {
  Plot plot{.panels = {}, .columns = 2, .panel_width = 420, .panel_height = 380};
  for (const SweepCell& cell : part.cells) {
    const std::string dial = dial_of(cell.value("target"));
    if (cell.seed != part.cells.front().seed || (dial != "dsm" && dial != "inf")) continue;
    const std::vector<float> samples = kept_array(folder, cell, "samples");
    Series generated{.label = "samples", .x = {}, .y = {}, .draw = Draw::points};
    for (std::size_t i = 0; i + 1 < samples.size(); i += 2) {
      generated.x.push_back(samples[i]);
      generated.y.push_back(samples[i + 1]);
    }
    // Small marks: hundreds of hollow ones would hide the samples.
    Series data{.label = "training points", .x = {}, .y = {}, .draw = Draw::points, .colour = 1};
    const std::vector<float> points = kept_array(folder, cell, "score_set");
    for (std::size_t i = 0; i + 1 < points.size(); i += 2) {
      data.x.push_back(points[i]);
      data.y.push_back(points[i + 1]);
    }
    plot.panels.push_back({.title = fmt::format("N = {}, {}", cell.value("subset"), dial == "dsm" ? "DSM" : "K = inf"),
                           .x = {.label = "x", .from = -3.0, .to = 3.0},
                           .y = {.label = "y", .from = -3.0, .to = 3.0},
                           .series = {generated, data}});
  }
  return plot;
}

std::vector<Picture> galleries(const VarianceStudy& part, const RunFolder& folder) {
  std::vector<Picture> pictures;
  for (const SweepCell& cell : part.cells) {
    const std::filesystem::path file = folder.images() / (cell.name() + ".png");
    if (cell.seed == part.cells.front().seed && std::filesystem::exists(file))
      pictures.push_back(
          picture_from_file(file, fmt::format("N = {}, K: {}", cell.value("subset"), dial_of(cell.value("target")))));
  }
  return pictures;
}

std::string summary_of(const std::vector<Claim>& claims) {
  return "Is it the variance of the training target that makes diffusion models generalize (Vastola, arXiv "
         "2504.12532), "
         "or does it hardly matter (Bertrand et al., arXiv 2506.03719)? Networks are trained on targets that are means "
         "of K conditional scores, everything else equal." +
         tally_of(claims);
}

}  // namespace

Report page_of(const VarianceStudy& study, const RunFolder& folder) {
  const std::vector<Claim> claims = claims_of(study);
  Report report("Target variance", summary_of(claims));
  std::vector<std::string> data;
  for (const Json& result : study.results)
    if (std::find(data.begin(), data.end(), result.at("data")) == data.end()) data.push_back(result.at("data"));
  for (const std::string& name : data) {
    const VarianceStudy part = part_of(study, name);
    report.section(fmt::format("{}, {}", name, part.cells.front().value("network")));
    Plot dial{.panels = {}, .columns = 2};
    for (const SweepMeasure& measure :
         {SweepMeasure{"/memorised/sqrt_m_third", "memorised, √m < 1/3"},
          SweepMeasure{"/memorised/nn_ratio_third", "memorised, nearest / second nearest < 1/3"},
          SweepMeasure{"/sup_error", "supervised error", true}, SweepMeasure{"/ext_error", "extrapolated error", true},
          SweepMeasure{"/frechet", "Frechet distance to held-out data", true}})
      dial.panels.push_back(dial_panel(part, part.results, measure));
    if (!part.likelihoods.empty())
      for (const SweepMeasure& measure :
           {SweepMeasure{"/heldout", "held-out bits/dim"}, SweepMeasure{"/train", "training bits/dim"}})
        dial.panels.push_back(dial_panel(part, part.likelihoods, measure));
    report.plot(dial,
                fmt::format("Along the dial: denoising score matching (dsm), the mean of K posterior draws, the "
                            "exact score (inf), and the self-normalised batch. Mean and standard error over seeds. "
                            "Bits are differential, of the density at noise level t = {}.",
                            likelihood_level));
    report.plot(trace_plot(part),
                "Where the target has variance at all: at noised training images, the share of the target's square "
                "that is noise, and how many training images the posterior holds.");
    report.table(trace_table(part), "The same in numbers, by noise level in every convention; t = 1 is noise.");
    if (kept_shape(folder, part.cells.front()) == Shape{1, 1, 2})
      report.plot(scatter_plot(part, folder), "Samples of the first seed's networks at both ends of the dial.");
    else
      report.gallery(galleries(part, folder), "Odd rows: samples. Even rows: the nearest training image of each.");
    report.table(sweep_table(part.cells, part.results,
                             {{"/memorised/sqrt_m_third", "√m < 1/3"},
                              {"/memorised/sqrt_m_half", "√m < 1/2"},
                              {"/memorised_heldout/sqrt_m_third", "held-out √m < 1/3"},
                              {"/memorised/nn_ratio_third", "NN/2nd < 1/3"},
                              {"/frechet", "Frechet"},
                              {"/sup_error", "sup error"},
                              {"/ext_error", "ext error"},
                              {"/heldout_error", "held-out error"}}),
                 "Mean ± standard error over seeds; errors are (σ²/d)|s − s*|² averaged over t = 0.1, …, 0.9.");
  }
  report.section("Claims");
  if (claims.empty())
    report.text("One seed makes no claim: give --seeds two or more.");
  else
    report.claims(claims, "Differences from denoising score matching, paired by training seed.");
  return report;
}

}  // namespace tweedie::experiments
