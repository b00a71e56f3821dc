#include "experiments/freedom_of_extrapolation/page.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "experiments/common/run_folder.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// The cells for which `wanted` holds, with their results.
RegionStudy part_of(const RegionStudy& study, const std::function<bool(const Json&)>& wanted) {
  RegionStudy part;
  for (std::size_t i = 0; i < study.cells.size(); ++i)
    if (wanted(study.results[i])) {
      part.cells.push_back(study.cells[i]);
      part.results.push_back(study.results[i]);
    }
  return part;
}

/// Song et al., figure 5, read from the paper: CIFAR-sized regions and networks far larger than these.
void add_reference(Panel& panel) {
  panel.series.push_back({.label = "paper, transformer",
                          .x = {1, 2, 3, 4, 8, 25.6},
                          .y = {.08, .41, .67, .76, .82, .85},
                          .draw = Draw::reference});
  panel.series.push_back(
      {.label = "paper, U-Net", .x = {1, 2, 4, 8, 25.6}, .y = {.00, .01, .05, .59, .80}, .draw = Draw::reference});
}

/// Horizontal: the same fraction of held-out images, which have copied nothing.
Panel fraction_panel(const RegionStudy& grown, const char* key, const std::string& name, bool reference) {
  Panel panel =
      sweep_panel(grown.cells, grown.results, {fmt::format("/memorised/{}", key), name}, "region-ratio", true);
  panel.x.label = "D_region / D_score";
  panel.y.label = "fraction of samples memorised";
  panel.y.from = 0.0;
  for (Series& series : panel.series) series.label = series.label.substr(0, series.label.find(", source"));
  if (reference) add_reference(panel);
  panel.horizontal.push_back(
      {.at = grown.results.front().at("memorised_heldout").at(key).get<double>(), .label = "held-out images"});
  return panel;
}

/// sqrt(m) of all seeds' samples at each ratio of one network, as lines of a histogram's heights.
Panel distribution_panel(const RegionStudy& grown, const std::string& network, const RunFolder& folder) {
  Panel panel{.title = network,
              .x = {.label = "√m(x): nearest over the mean of the fifty nearest"},
              .y = {.label = "share of samples"},
              .series = {}};
  std::vector<std::string> ratios;
  for (const SweepCell& cell : grown.cells)
    if (std::find(ratios.begin(), ratios.end(), cell.value("region-ratio")) == ratios.end())
      ratios.push_back(cell.value("region-ratio"));
  for (const std::string& ratio : ratios) {
    std::vector<double> roots;
    for (const SweepCell& cell : grown.cells)
      if (cell.value("network") == network && cell.value("region-ratio") == ratio)
        for (const float m : kept_array(folder, cell, "m")) roots.push_back(std::sqrt(static_cast<double>(m)));
    if (roots.empty()) continue;
    Series series = histogram("ratio " + ratio, roots, 30, 0.0, 1.2);
    series.draw = Draw::line;
    panel.series.push_back(series);
  }
  panel.vertical = {{.at = 1.0 / 3.0, .label = "1/3"}, {.at = 0.5, .label = "1/2"}};
  return panel;
}

std::vector<Picture> galleries(const RegionStudy& grown, const RunFolder& folder) {
  std::vector<Picture> pictures;
  for (const SweepCell& cell : grown.cells) {
    const std::filesystem::path file = folder.images() / (cell.name() + ".png");
    if (cell.seed == grown.cells.front().seed && std::filesystem::exists(file))
      pictures.push_back(
          picture_from_file(file, fmt::format("{}, ratio {}", cell.value("network"), cell.value("region-ratio"))));
  }
  return pictures;
}

const std::vector<SweepMeasure>& table_measures() {
  static const std::vector<SweepMeasure> measures = {{"/memorised/m_third", "m < 1/3"},
                                                     {"/memorised/sqrt_m_third", "√m < 1/3"},
                                                     {"/memorised/sqrt_m_half", "√m < 1/2"},
                                                     {"/memorised/nn_ratio_third", "NN/2nd < 1/3"},
                                                     {"/memorised_region/sqrt_m_half", "√m < 1/2 of the region"},
                                                     {"/frechet", "Frechet"},
                                                     {"/sup_error", "sup error"},
                                                     {"/ext_error", "ext error"}};
  return measures;
}

std::string summary_of(const std::vector<Claim>& claims, const RegionStudy& study) {
  return fmt::format(
             "The score of the same {} images is learned on the noised states of more and more images. Does a network "
             "memorise more when its extrapolation is less free (Song et al., arXiv 2510.01378, section 4.3)?",
             study.results.front().at("N").get<std::int64_t>()) +
         tally_of(claims);
}

}  // namespace

Report page_of(const RegionStudy& study, const RunFolder& folder) {
  const std::vector<Claim> claims = claims_of(study);
  Report report("Freedom of extrapolation", summary_of(claims, study));
  const RegionStudy grown = part_of(study, [](const Json& result) { return !is_control(result); });
  if (!grown.cells.empty()) {
    report.section("Memorisation against the supervised region");
    report.plot(
        {.panels = {fraction_panel(grown, "sqrt_m_half", "√m < 1/2", true),
                    fraction_panel(grown, "sqrt_m_third", "√m < 1/3", false)}},
        "Fraction of samples that two thresholds call copies of a score-set image; mean and standard error over "
        "seeds. The paper's points (threshold not stated there) are of far larger networks and images. The "
        "dotted line is the same fraction of held-out images.");
  }
  report.section("Claims");
  if (claims.empty())
    report.text("One seed makes no claim: give --seeds two or more.");
  else
    report.claims(claims, "Differences are paired by training seed; controls carry no expectation.");
  if (!grown.cells.empty()) {
    report.section("Samples");
    report.gallery(galleries(grown, folder),
                   "Odd rows: samples from the same noise for every network. Even rows: the "
                   "nearest image of the score set.");
    report.section("Distribution of m");
    std::vector<Panel> panels;
    for (const SweepCell& cell : grown.cells) {
      const bool known = std::any_of(panels.begin(), panels.end(),
                                     [&](const Panel& panel) { return panel.title == cell.value("network"); });
      if (!known) panels.push_back(distribution_panel(grown, cell.value("network"), folder));
    }
    report.plot({.panels = panels, .columns = 2}, "Every sample of every seed; arrays/ holds each value.");
  }
  report.section("All cells");
  report.table(sweep_table(study.cells, study.results, table_measures()),
               "Mean ± standard error over seeds. Errors are (σ²/d)|s − s*|² against the exact score of the score set, "
               "averaged over t = 0.1, …, 0.9. Sources other than data and duplicated targets are controls.");
  Table floor{.columns = {"criterion", "held-out images"}, .rows = {}};
  for (const auto& [key, value] : study.results.front().at("memorised_heldout").items())
    floor.rows.push_back({key, fmt::format("{:.3f}", value.get<double>())});
  report.table(floor, "What the same criteria say of images that were never shown.");
  return report;
}

}  // namespace tweedie::experiments
