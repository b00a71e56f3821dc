#include <algorithm>
#include <cmath>
#include <numbers>

#include "experiments/common/run_folder.h"
#include "experiments/generalization_through_variance/part.h"
#include "kernels/runtime/parallel.h"
#include "nn/io/npy.h"

namespace tweedie::experiments {
namespace {

struct NamedSet {
  std::string name;
  PointSet set;
};

/// x_1, ..., x_6 and y_1, ..., y_6 as points (x_i, y_i).
PointSet plane_points(const std::vector<double>& x, const std::vector<double>& y) {
  std::vector<double> points;
  for (std::size_t i = 0; i < x.size(); ++i) {
    points.push_back(x[i]);
    points.push_back(y[i]);
  }
  return {std::move(points), 2};
}

std::vector<NamedSet> point_sets() {
  std::vector<double> cosines, sines, steps;
  for (int i = 0; i < 6; ++i) {
    cosines.push_back(std::cos(std::numbers::pi * i / 3.0));
    sines.push_back(std::sin(std::numbers::pi * i / 3.0));
    steps.push_back(-1.0 + 0.4 * i);
  }
  return {{"polygon", plane_points(cosines, sines)},
          {"line", plane_points(steps, steps)},
          {"blend", plane_points({-1, -1, -1, 0, 0.5, 1}, {-1, 0, 1, -1, -1, -1})},
          {"random", plane_points({-1, -0.9, -0.3, 0.1, 0.2, 0.9}, {-1, 1, 0.2, -0.1, -0.1, 0.7})}};
}

constexpr std::int64_t side = 100;

double grid_value(std::int64_t i) {
  return -2.0 + 4.0 * static_cast<double>(i) / static_cast<double>(side - 1);
}

Panel panel_of(const NamedSet& named, double t, const std::vector<double>& fractions) {
  Series points{.draw = Draw::points, .colour = 3};
  for (std::int64_t i = 0; i < named.set.count(); ++i) {
    points.x.push_back(named.set.point(i)[0]);
    points.y.push_back(named.set.point(i)[1]);
  }
  const double half = 2.0 / static_cast<double>(side - 1);  // cells are centred on the grid's points
  const Axis axis{.from = -2.0, .to = 2.0, .ticks = {{-2.0, "−2"}, {-1.0, "−1"}, {0.0, "0"}, {1.0, "1"}, {2.0, "2"}}};
  return {.title = fmt::format("{}, t = {:g}", named.name, t),
          .x = axis,
          .y = axis,
          .series = {points},
          .heat_map = HeatMap{.rows = side,
                              .columns = side,
                              .values = fractions,
                              .x_from = -2.0 - half,
                              .x_to = 2.0 + half,
                              .y_from = -2.0 - half,
                              .y_to = 2.0 + half,
                              .label = "tr C/(tr C + |s|²)",
                              .from = 0.0,
                              .to = 1.0},
          .legend = Legend::none};
}

}  // namespace

Part run_figure_1(const PartSettings& settings) {
  const std::vector<double> times = {0.05, 0.1, 0.2, 0.5, 0.75};
  Part part{.results = {{"cells", nlohmann::ordered_json::array()}}};
  Plot plot{.columns = static_cast<int>(times.size()), .panel_width = 300, .panel_height = 270};
  for (const NamedSet& named : point_sets()) {
    std::vector<float> stored;
    for (const double t : times) {
      std::vector<double> fractions(side * side);
      parallel_for(side, 1, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row)
          for (std::int64_t column = 0; column < side; ++column) {
            const double z[] = {grid_value(column), grid_value(row)};
            fractions[static_cast<std::size_t>(row * side + column)] =
                variance_fraction(named.set, z, std::sqrt(1.0 - t), std::sqrt(t));
          }
      });
      double sum = 0.0;
      for (const double fraction : fractions) sum += fraction;
      part.results["cells"].push_back({{"points", named.name},
                                       {"t", t},
                                       {"frac_mean", sum / static_cast<double>(fractions.size())},
                                       {"frac_max", *std::max_element(fractions.begin(), fractions.end())}});
      stored.insert(stored.end(), fractions.begin(), fractions.end());
      plot.panels.push_back(panel_of(named, t, fractions));
    }
    io::write_npy(settings.folder->arrays() / ("figure_1_" + named.name + ".npy"), stored,
                  Shape({static_cast<std::int64_t>(times.size()), side, side}));
  }
  const auto cells = part.results["cells"];
  part.page = [plot, cells](Report& report) {
    report.text(
        "The target of denoising score matching is noisy: given z its covariance is C = I/σ² + ∇∇log p. Shown is the "
        "share tr C/(tr C + |s*|²) of that noise in the target's mean square, in closed form, for four sets of six "
        "points (red) with α = √(1 − t), σ² = t. It is large on the boundaries between points: small t separates "
        "neighbours, large t whole groups.");
    report.plot(plot, "The proxy score's variance relative to the score, rows: point sets, columns: noise levels.");
    Table table{.columns = {"points", "t", "mean", "maximum"}};
    for (const auto& cell : cells)
      table.rows.push_back({cell.at("points"), fmt::format("{:g}", cell.at("t").get<double>()),
                            fmt::format("{:.4f}", cell.at("frac_mean").get<double>()),
                            fmt::format("{:.4f}", cell.at("frac_max").get<double>())});
    report.table(table, "Over the 100 × 100 grid of [−2, 2]²; exact, so without error bars.");
  };
  return part;
}

}  // namespace tweedie::experiments
