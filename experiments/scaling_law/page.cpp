#include "experiments/scaling_law/page.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "experiments/common/run_folder.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

const Quantity loss{"sup_loss"}, excess{"sup_excess", true}, compute{"flops", true};

/// Looks as points and each family's line with its interval, in the family's colour.
void add_family(Panel& panel, const Family& family, const Quantity& x, const Quantity& y, int colour) {
  Series looks{.label = family.label(), .x = {}, .y = {}, .draw = Draw::points, .colour = colour};
  for (const LookPoint& point : family.points) {
    looks.x.push_back(x.of(point));
    looks.y.push_back(y.of(point));
  }
  if (const auto fit = line_of(family, x, y)) {
    Series line{.label = "", .x = fit->x, .y = {}, .draw = Draw::line, .spread = Spread::band, .colour = colour};
    for (const Estimate& estimate : fit->line.at) {
      const auto place = [&](double value) { return y.logarithmic ? std::pow(10.0, value) : value; };
      line.y.push_back(place(estimate.value));
      line.low.push_back(place(estimate.low));
      line.high.push_back(place(estimate.high));
    }
    panel.series.push_back(line);
  }
  panel.series.push_back(looks);
}

Panel scatter(const std::string& title, const std::string& x_label, const std::string& y_label,
              const std::vector<Family>& families, const Quantity& x, const Quantity& y) {
  // Distances rise with the loss, and all fall with compute: the legend stands where no points are.
  Panel panel{.title = title,
              .x = {.label = x_label, .logarithmic = x.logarithmic},
              .y = {.label = y_label, .logarithmic = y.logarithmic},
              .series = {},
              .legend = x.logarithmic ? Legend::bottom_left : Legend::top_left};
  int colour = 0;
  for (const Family& family : families) add_family(panel, family, x, y, colour++);
  return panel;
}

std::string distance_label(const Distance& distance) {
  return distance.features == "pca" ? "Frechet distance, principal components"
                                    : "Frechet distance, " + distance.features + " features";
}

double floor_of(const ScalingStudy& study, const Distance& distance) {
  for (const Json& row : study.features)
    if (row.at("name") == distance.features) return row.at("frechet_floor");
  return 0.0;
}

Plot law_plot(const ScalingStudy& study, const std::vector<Family>& families) {
  Plot plot{.panels = {}, .columns = 2};
  for (const Distance& distance : distances_of(study)) {
    Panel panel = scatter("Quality against supervision loss", "supervision loss (velocity, per dimension)",
                          distance_label(distance), families, loss, distance.quantity);
    panel.horizontal.push_back({.at = floor_of(study, distance), .label = "training images"});
    plot.panels.push_back(panel);
  }
  return plot;
}

Plot compute_plot(const ScalingStudy& study, const std::vector<Family>& families) {
  const std::string flop = "training compute (FLOP: forward pass × steps × batch)";
  Plot plot{.panels = {scatter("Loss against compute", flop, "excess supervision loss", families, compute, excess)},
            .columns = 2};
  for (const Distance& distance : distances_of(study)) {
    Quantity y = distance.quantity;
    y.logarithmic = true;
    Panel panel = scatter("Quality against compute", flop, distance_label(distance), families, compute, y);
    panel.horizontal.push_back({.at = floor_of(study, distance), .label = "training images"});
    plot.panels.push_back(panel);
  }
  plot.panels.push_back(scatter("Extrapolated error against compute", flop, "ext error, noise units per dimension",
                                families, compute, {"ext_error", true}));
  return plot;
}

/// How much further the scores move along the sampler's path than at supervised states, seed by seed.
Panel shift_panel(const ScalingStudy& study) {
  std::map<double, std::vector<double>> ratios;
  for (std::size_t i = 0; i < study.pairs.size(); ++i)
    ratios[weight_of(study.pairs[i].to)].push_back(study.shifts[i].at("ratio"));
  Panel panel{.title = "Where alignment moves the score",
              .x = {.label = "alignment weight"},
              .y = {.label = "shift of ext / shift of sup", .from = 0.0},
              .series = {},
              .legend = Legend::none};
  Series each{.label = "", .x = {}, .y = {}, .draw = Draw::points, .colour = 0};
  Series average{.label = "", .x = {}, .y = {}, .draw = Draw::reference, .colour = 1};
  double place = 0.0;
  for (const auto& [weight, values] : ratios) {
    panel.x.ticks.emplace_back(place, weight > 0.0 ? fmt::format("{}", weight) : "0: another seed");
    for (const double value : values) {
      each.x.push_back(place);
      each.y.push_back(value);
    }
    average.x.push_back(place);
    average.y.push_back(mean(values));
    if (values.size() >= 2) {
      const Estimate interval = student_estimate(values);
      average.low.push_back(interval.low);
      average.high.push_back(interval.high);
    } else {
      average.low.push_back(values.front());
      average.high.push_back(values.front());
    }
    place += 1.0;
  }
  panel.x.from = -0.5;
  panel.x.to = place - 0.5;
  panel.series = {average, each};
  panel.horizontal = {{.at = 1.0}, {.at = 1.5, .label = "paper, least"}, {.at = 1.9, .label = "paper, most"}};
  return panel;
}

/// The aligned families beside the unaligned networks that they were made of.
std::vector<Family> alignment_families(const std::vector<Family>& families) {
  std::vector<Family> shown;
  for (const auto& [base, family] : compared_pairs(families)) {
    if (family.alignment == 0.0) continue;
    const bool known = std::any_of(shown.begin(), shown.end(), [&](const Family& other) {
      return other.alignment == 0.0 && other.family == base.family;
    });
    if (!known) shown.push_back(base);
    shown.push_back(family);
  }
  return shown;
}

std::vector<Picture> galleries(const ScalingStudy& study, const RunFolder& folder) {
  std::vector<Picture> pictures;
  for (std::size_t i = 0; i < study.cells.size(); ++i) {
    const SweepCell& cell = study.cells[i];
    const std::filesystem::path file = folder.images() / (cell.name() + ".png");
    if (cell.seed != study.cells.front().seed || !std::filesystem::exists(file)) continue;
    const Json& last = study.results[i].at("last");
    const double weight = weight_of(cell);
    pictures.push_back(
        picture_from_file(file, fmt::format("{}{}: loss {:.4f}, Frechet distance {:.3g}", cell.value("network"),
                                            weight > 0.0 ? fmt::format(", aligned {}", weight) : "",
                                            last.at("sup_loss").get<double>(), last.at("frechet").get<double>())));
  }
  return pictures;
}

Table fit_table(const Json& fits) {
  Table table{.columns = {"family", "line", "slope", "95 % interval", "intercept", "R²", "looks", "networks"},
              .rows = {}};
  for (const Json& row : fits)
    table.rows.push_back(
        {row.at("family"),
         fmt::format("{} against {}{}", row.at("y").get<std::string>(), row.at("x").get<std::string>(),
                     row.contains("features") ? ", " + row.at("features").get<std::string>() : ""),
         fmt::format("{:.3g}", row.at("slope").get<double>()),
         fmt::format("{:.3g} to {:.3g}", row.at("slope_low").get<double>(), row.at("slope_high").get<double>()),
         fmt::format("{:.3g}", row.at("intercept").get<double>()), fmt::format("{:.3f}", row.at("r2").get<double>()),
         row.at("n").dump(), row.at("networks").dump()});
  return table;
}

/// Both families at equal loss, and at equal compute.
Table efficiency_table(const Json& rows) {
  Table table{.columns = {"at equal", "measure", "of", "value", "of", "value", "difference", "95 % interval"},
              .rows = {}};
  for (const Json& row : rows) {
    const auto text = [&](const char* key) { return fmt::format("{:.3g}", row.at(key).get<double>()); };
    table.rows.push_back(
        {fmt::format("{} {:.3g}", row.at("at_equal") == "flops" ? "compute" : "loss", row.at("x").get<double>()),
         row.at("measure"), row.at("first"), text("first_value"), row.at("second"), text("second_value"),
         text("difference"), text("low") + " to " + text("high")});
  }
  return table;
}

std::string summary_of(const std::vector<Claim>& claims) {
  return "How well does a network's supervision loss foretell the quality of its samples, and does that depend on what "
         "the network is made of (Song et al., arXiv 2510.01378, figures 6 and 7)?" +
         tally_of(claims);
}

}  // namespace

Report page_of(const ScalingStudy& study, const RunFolder& folder) {
  const std::vector<Claim> claims = claims_of(study);
  const std::vector<Family> families = families_of(study);
  std::vector<Family> plain;
  for (const Family& family : families)
    if (family.alignment == 0.0) plain.push_back(family);
  Report report("Scaling law: quality against supervision loss", summary_of(claims));

  report.section("Quality against supervision loss");
  std::string spaces;
  for (const Json& row : study.features)
    spaces += fmt::format("{}{}: {}, floor {:.3g}", spaces.empty() ? "" : "; ", row.at("name").get<std::string>(),
                          row.at("description").get<std::string>(), row.at("frechet_floor").get<double>());
  report.text(fmt::format(
      "Distances are those of {} samples to held-out images; the floor is that of as many training images. {}.",
      study.features.front().at("n").get<std::int64_t>(), spaces));
  if (!plain.empty()) {
    report.plot(law_plot(study, plain),
                "One point a network and step, averaged weights; lines by least squares with the 95 % band of a "
                "bootstrap over networks. The supervision loss is the denoising loss in velocity at noised training "
                "images, averaged over t = 0.1, …, 0.9: its floor, the same for all, and the squared velocity error "
                "against the exact score.");
    report.plot(compute_plot(study, plain),
                "The same networks against training compute; lines are fitted to the logarithms. Excess loss: above "
                "the floor.");
  }
  if (const std::vector<Family> aligned = alignment_families(families); !aligned.empty()) {
    report.section("Representation alignment");
    Plot plot{.panels = {}, .columns = 2};
    for (const Distance& distance : distances_of(study)) {
      plot.panels.push_back(scatter("Quality against supervision loss", "supervision loss (velocity, per dimension)",
                                    distance_label(distance), aligned, loss, distance.quantity));
      plot.panels.back().legend = Legend::below;  // long labels would hide lines
    }
    if (!study.pairs.empty()) plot.panels.push_back(shift_panel(study));
    report.plot(plot,
                "Networks aligned with the teacher's patches beside the same network without. Shift: |v − v'|² between "
                "an aligned network and the unaligned one of its seed, at states of the latter's sampler over that at "
                "noised training images; at 0 between two unaligned networks of different seeds. Diamonds: means with "
                "Student's 95 % interval.");
  }
  report.section("Samples");
  report.gallery(galleries(study, folder),
                 "Odd rows: samples of the first seed's networks, the same noise for all. Even rows: the nearest "
                 "training image of each.");
  report.section("Claims");
  if (claims.empty())
    report.text("One seed makes no claim: give --seeds two or more.");
  else
    report.claims(claims,
                  "Student's 95 % intervals over paired training seeds; values at equal loss or compute are "
                  "those of a line for each seed, in the middle of what both families have.");
  report.section("Numbers");
  report.table(sweep_table(study.cells, study.results,
                           {{"/last/flops", "FLOP"},
                            {"/last/sup_loss", "sup loss"},
                            {"/last/sup_error", "sup error"},
                            {"/last/ext_error", "ext error"},
                            {"/last/frechet", "Frechet"}}),
               "Last looks, mean ± standard error over seeds.");
  report.table(sweep_table(study.cells, study.results,
                           {{"/last/frechet_pca", "Frechet, pca"},
                            {"/last/kernel", "kernel"},
                            {"/last/kernel_pca", "kernel, pca"},
                            {"/last/memorised/sqrt_m_half", "√m < 1/2"},
                            {"/last/memorised_heldout/sqrt_m_half", "held-out"}}),
               "The same networks by further measures: distances, and the fraction of samples called memorised beside "
               "that of held-out images.");
  const Json results = results_of(study);
  report.table(fit_table(results.at("fits")), "Fitted lines, with intervals of a bootstrap over networks.");
  if (!results.at("efficiency").empty())
    report.table(efficiency_table(results.at("efficiency")),
                 "Families beside each other at one supervision loss (how well loss becomes quality) and at one "
                 "compute (how fast loss falls): a line for each seed, differences paired by seed.");
  return report;
}

}  // namespace tweedie::experiments
