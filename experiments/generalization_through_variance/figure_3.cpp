#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>

#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/generalization_through_variance/part.h"
#include "nn/io/npy.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t side = 200;  // bins of the picture, over [-1.5, 1.5]^2
constexpr double t_min = 1e-2;
constexpr std::int64_t draws = 500;

/// Shares of samples within 0.25 of places, and outside the square.
struct Masses {
  std::vector<double> edge, centre, near, outside;  // one a model
};

struct PlaneEnsemble {
  Masses masses;
  std::vector<double> counts = std::vector<double>(side * side, 0.0);  // of all models: whole numbers, so that their
                                                                       // order does not matter
};

/// Adds what model number `model` generated. `mutex` guards the counts.
void add(std::int64_t model, std::span<const float> samples, const PointSet& set, PlaneEnsemble& ensemble,
         std::mutex& mutex) {
  const PlaneMasses masses = plane_masses(samples, set);
  const auto at = static_cast<std::size_t>(model);
  ensemble.masses.edge[at] = masses.edge;
  ensemble.masses.centre[at] = masses.centre;
  ensemble.masses.near[at] = masses.near;
  ensemble.masses.outside[at] = masses.outside;
  const std::size_t n = samples.size() / 2;
  std::vector<double> counts(side * side, 0.0);
  const auto bin = [](double v) { return std::min(side - 1, static_cast<std::int64_t>((v + 1.5) * side / 3.0)); };
  for (std::size_t i = 0; i < n; ++i)
    if (std::max(std::abs(samples[i]), std::abs(samples[n + i])) <= 1.5f)
      counts[static_cast<std::size_t>(bin(samples[n + i]) * side + bin(samples[i]))] += 1.0;
  const std::lock_guard lock(mutex);
  for (std::size_t b = 0; b < counts.size(); ++b) ensemble.counts[b] += counts[b];
}

Json row_of(const Masses& masses) {
  Json row;
  put(row, "edge_mass", over_models(masses.edge));
  put(row, "centre_mass", over_models(masses.centre));
  put(row, "near_mass", over_models(masses.near));
  put(row, "outside_mass", over_models(masses.outside));
  return row;
}

const char* angle_name(std::size_t rotation) {
  static const char* const names[] = {"0", "π/8", "π/4"};
  return names[rotation];
}

Panel panel_of(const std::string& features, std::size_t rotation, const PlaneEnsemble& ensemble, const PointSet& set) {
  Series points{.draw = Draw::points, .colour = 3};
  for (std::int64_t i = 0; i < set.count(); ++i) {
    points.x.push_back(set.point(i)[0]);
    points.y.push_back(set.point(i)[1]);
  }
  double total = 0.0;
  for (const double count : ensemble.counts) total += count;
  // Half as many cells a side as bins: enough for the eye, and a page of bearable size.
  constexpr std::int64_t cells = side / 2;
  std::vector<double> density(cells * cells, 0.0);
  for (std::int64_t row = 0; row < side; ++row)
    for (std::int64_t column = 0; column < side; ++column)
      density[static_cast<std::size_t>(row / 2 * cells + column / 2)] +=
          ensemble.counts[static_cast<std::size_t>(row * side + column)] / total;
  const double area = 9.0 / static_cast<double>(cells * cells);
  for (double& value : density) value = std::min(value / area, 0.6);
  return {.title = fmt::format("{}, turned by {}", features, angle_name(rotation)),
          .x = {.from = -1.5, .to = 1.5},
          .y = {.from = -1.5, .to = 1.5},
          .series = {points},
          .heat_map = HeatMap{.rows = cells,
                              .columns = cells,
                              .values = density,
                              .x_from = -1.5,
                              .x_to = 1.5,
                              .y_from = -1.5,
                              .y_to = 1.5,
                              .label = "density",
                              .from = 0.0,
                              .to = 0.6},
          .legend = Legend::none};
}

EnsemblePlan plan_of(const PartSettings& settings, FlowAxis::Basis basis, std::uint32_t cell) {
  const FeatureAxis space{.basis = basis, .count = 10, .from = -1.5, .to = 1.5};
  const FeatureAxis time{.basis = basis, .count = 10, .from = t_min, .to = 1.0};
  return {.features = std::make_shared<CrossedFeatures>(std::vector{space, space}, time),
          .draws = {.t_min = t_min, .count = draws, .seed = settings.seed, .cell = cell},
          .samples = settings.samples,
          .models = settings.models,
          .look_up = settings.look_up(),
          .exact_control = settings.control};
}

void add_claims(Part& part, const PartSettings& settings) {
  const Json& cells = part.results.at("cells");
  const auto claim = [&](const std::string& statement, const std::string& effect, const OverModels& value) {
    Claim made = trend_claim(statement, effect, value, 1, settings.samples, settings.models,
                             "which gap fills is to depend on this: any sign counts; interval over models");
    if (made.verdict == Verdict::contradicted) made.verdict = Verdict::reproduced;
    part.claims.push_back(std::move(made));
  };
  const auto difference_of = [&](const Json& a, const Json& b, const char* name) {
    return difference(number(a, name), number(b, name));
  };
  for (std::size_t f = 0; f < 2; ++f) {
    const std::string features = cells[3 * f].at("features");
    claim(fmt::format("Orientation decides which gaps fill ({} features)", features),
          "edge mass turned by 0 minus by π/4", difference_of(cells[3 * f], cells[3 * f + 2], "edge_mass"));
    claim(fmt::format("Orientation decides how full the centre is ({} features)", features),
          "centre mass turned by 0 minus by π/4", difference_of(cells[3 * f], cells[3 * f + 2], "centre_mass"));
  }
  for (std::size_t r = 0; r < 3; ++r)
    claim(fmt::format("Features decide which gaps fill (turned by {})", angle_name(r)),
          "edge mass, Gaussian minus Fourier", difference_of(cells[r], cells[3 + r], "edge_mass"));
}

Table cell_table(const Json& cells) {
  Table table{.columns = {"features", "turned by", "edges", "centre", "near", "outside"}};
  for (const Json& cell : cells) {
    std::vector<std::string> row = {cell.at("features"), angle_name(cell.at("rotation_index").get<std::size_t>())};
    for (const char* name : {"edge_mass", "centre_mass", "near_mass", "outside_mass"})
      row.push_back(fmt::format("{:.4f} ± {:.4f}", number(cell, name).value, number(cell, name).standard_error));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Part run_figure_3(const PartSettings& settings) {
  Part part{.results = {{"cells", Json::array()}, {"control", Json::array()}}};
  Progress::Stage stage(*settings.progress, "figure 3", 6);
  Plot plot{.columns = 3, .panel_width = 360, .panel_height = 320}, control_plot = plot;
  std::uint32_t cell = 100;
  std::vector<float> stored;
  for (const auto basis : {FlowAxis::Basis::gaussian, FlowAxis::Basis::fourier})
    for (std::size_t rotation = 0; rotation < 3; ++rotation, ++cell) {
      const std::string features = basis == FlowAxis::Basis::gaussian ? "gaussian" : "fourier";
      const PointSet set = turned_square(std::numbers::pi / 8.0 * static_cast<double>(rotation));
      PlaneEnsemble ensembles[2];
      for (PlaneEnsemble& ensemble : ensembles)
        for (auto* values :
             {&ensemble.masses.edge, &ensemble.masses.centre, &ensemble.masses.near, &ensemble.masses.outside})
          values->resize(static_cast<std::size_t>(settings.models));
      std::mutex mutex;
      run_ensemble(plan_of(settings, basis, cell), set,
                   [&](std::int64_t model, bool exact, std::span<const float> samples) {
                     add(model, samples, set, ensembles[exact ? 1 : 0], mutex);
                   });
      const Json name = {{"features", features}, {"rotation_index", rotation}};
      const auto keep = [&](const char* list, const PlaneEnsemble& ensemble) {
        Json row = name;
        row.update(row_of(ensemble.masses));
        part.results[list].push_back(std::move(row));
      };
      keep("cells", ensembles[0]);
      plot.panels.push_back(panel_of(features, rotation, ensembles[0], set));
      if (settings.control) {
        keep("control", ensembles[1]);
        control_plot.panels.push_back(panel_of(features + ", exact targets", rotation, ensembles[1], set));
      }
      stored.insert(stored.end(), ensembles[0].counts.begin(), ensembles[0].counts.end());
      stage.advance();
    }
  io::write_npy(settings.folder->arrays() / "figure_3_counts.npy", stored, Shape({2, 3, side, side}));
  add_claims(part, settings);
  part.page = [plot, control_plot, settings, results = part.results](Report& report) {
    report.text(fmt::format(
        "Four points on the unit circle (red), turned by 0, π/8 and π/4. {} denoisers a panel, linear in 10 × 10 × 10 "
        "crossed features and fitted in closed form to {} noisy draws (ε = {:g}); {} samples of each. Which gaps are "
        "filled depends on the features and on how the points lie to their axes.",
        settings.models, draws, t_min, settings.samples));
    report.plot(plot, "Average learned density; rows: features, columns: orientation. Densities above 0.6 are cut.");
    report.table(
        cell_table(results.at("cells")),
        "Shares of samples within 0.25 of the mid-points of neighbouring points, of the origin, of a point; and "
        "outside the square; ± standard error over models.");
    if (!settings.control) return;
    report.plot(control_plot, "The control: exact targets at the same inputs.");
    report.table(cell_table(results.at("control")), "Shares of samples with exact targets.");
  };
  return part;
}

}  // namespace tweedie::experiments
