#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "diffusion/statistics.h"
#include "experiments/common/sweep.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

std::optional<double> measured(const Json& result, const SweepMeasure& measure) {
  const Json::json_pointer pointer(measure.pointer);
  if (!result.contains(pointer) || !result.at(pointer).is_number()) return {};
  return result.at(pointer).get<double>();
}

/// Cells that differ in their seed alone, in the order of their first.
std::vector<std::vector<std::size_t>> groups_of(const std::vector<SweepCell>& cells) {
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto same = std::find_if(groups.begin(), groups.end(),
                                   [&](const auto& group) { return cells[group[0]].group() == cells[i].group(); });
    if (same != groups.end())
      same->push_back(i);
    else
      groups.push_back({i});
  }
  return groups;
}

struct Average {
  double mean = 0.0, error = 0.0;
  std::size_t n = 0;
};

Average over_seeds(const std::vector<std::size_t>& group, const std::vector<Json>& results,
                   const SweepMeasure& measure) {
  std::vector<double> values;
  for (const std::size_t i : group)
    if (const auto value = measured(results[i], measure)) values.push_back(*value);
  if (values.empty()) return {};
  return {mean(values), values.size() > 1 ? standard_error(values) : 0.0, values.size()};
}

std::optional<double> as_number(const std::string& text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

}  // namespace

Table sweep_table(const std::vector<SweepCell>& cells, const std::vector<Json>& results,
                  const std::vector<SweepMeasure>& measures) {
  require(cells.size() == results.size() && !cells.empty(), "sweep table: {} cells and {} results", cells.size(),
          results.size());
  Table table;
  for (const auto& [key, value] : cells.front().values) table.columns.push_back(key);
  table.columns.push_back("seeds");
  for (const SweepMeasure& measure : measures) table.columns.push_back(measure.label);
  for (const auto& group : groups_of(cells)) {
    std::vector<std::string> row;
    for (const auto& [key, value] : cells[group[0]].values) row.push_back(value);
    row.push_back(std::to_string(group.size()));
    for (const SweepMeasure& measure : measures) {
      const Average average = over_seeds(group, results, measure);
      row.push_back(average.n == 0   ? ""
                    : average.n == 1 ? fmt::format("{:.4g}", average.mean)
                                     : fmt::format("{:.4g} ± {:.2g}", average.mean, average.error));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Panel sweep_panel(const std::vector<SweepCell>& cells, const std::vector<Json>& results, const SweepMeasure& measure,
                  const std::string& x, bool logarithmic_x) {
  require(cells.size() == results.size(), "sweep panel: {} cells and {} results", cells.size(), results.size());
  std::vector<std::string> places;  // values of the axis x, in order
  for (const SweepCell& cell : cells)
    if (std::find(places.begin(), places.end(), cell.value(x)) == places.end()) places.push_back(cell.value(x));
  const bool numbers = std::all_of(places.begin(), places.end(), [](const auto& text) { return as_number(text); });
  Panel panel{.title = measure.label,
              .x = {.label = x, .logarithmic = numbers && logarithmic_x},
              .y = {.label = measure.label, .logarithmic = measure.logarithmic}};
  if (!numbers)
    for (std::size_t i = 0; i < places.size(); ++i) panel.x.ticks.emplace_back(static_cast<double>(i), places[i]);
  for (const auto& group : groups_of(cells)) {
    const SweepCell& cell = cells[group[0]];
    const Average average = over_seeds(group, results, measure);
    if (average.n == 0 || (measure.logarithmic && !(average.mean > 0.0))) continue;
    std::string label;
    for (const auto& [key, value] : cell.values)
      if (key != x) label += (label.empty() ? "" : ", ") + key + " " + value;
    auto series = std::find_if(panel.series.begin(), panel.series.end(),
                               [&](const Series& existing) { return existing.label == label; });
    if (series == panel.series.end()) series = panel.series.insert(series, Series{.label = label});
    const auto place = std::find(places.begin(), places.end(), cell.value(x)) - places.begin();
    series->x.push_back(numbers ? *as_number(cell.value(x)) : static_cast<double>(place));
    series->y.push_back(average.mean);
    // On a logarithmic axis a bar cannot reach zero.
    const double least = measure.logarithmic ? 0.1 * average.mean : -INFINITY;
    series->low.push_back(std::max(least, average.mean - average.error));
    series->high.push_back(average.mean + average.error);
  }
  return panel;
}

Estimate seed_difference(const std::vector<SweepCell>& cells, const std::vector<Json>& results,
                         const std::string& pointer, const CellFilter& after, const CellFilter& before) {
  const auto by_seed = [&](const CellFilter& filter) {
    std::map<std::uint64_t, double> values;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const bool matches = std::all_of(filter.begin(), filter.end(),
                                       [&](const auto& entry) { return cells[i].value(entry.first) == entry.second; });
      if (!matches) continue;
      if (const auto value = measured(results[i], {pointer, ""})) {
        require(values.emplace(cells[i].seed, *value).second, "seed difference: two cells of seed {} are meant",
                cells[i].seed);
      }
    }
    return values;
  };
  const std::map<std::uint64_t, double> first = by_seed(before), last = by_seed(after);
  std::vector<double> differences;
  for (const auto& [seed, value] : last)
    if (const auto same = first.find(seed); same != first.end()) differences.push_back(value - same->second);
  require(differences.size() >= 2, "seed difference: {} seeds have both values of {}, two are needed",
          differences.size(), pointer);
  return student_estimate(differences);
}

Claim difference_claim(std::string statement, std::string effect_name, const Estimate& difference, Expected expected,
                       std::int64_t points) {
  Claim claim{.statement = std::move(statement),
              .effect_name = std::move(effect_name),
              .effect = difference.value,
              .low = difference.low,
              .high = difference.high,
              .n = points,
              .seeds = static_cast<int>(difference.n),
              .note = fmt::format("Student's 95 % interval over {} paired seeds", difference.n)};
  const bool rises = difference.low > 0.0, falls = difference.high < 0.0;
  const bool holds = expected == Expected::rise ? rises : expected == Expected::fall ? falls : !rises && !falls;
  const bool opposite = expected == Expected::rise ? falls : expected == Expected::fall ? rises : rises || falls;
  const bool untested = expected == Expected::no_change && difference.low == 0.0 && difference.high == 0.0;
  claim.verdict = expected == Expected::anything || untested ? Verdict::as_measured
                  : holds                                    ? Verdict::reproduced
                  : opposite                                 ? Verdict::contradicted
                                                             : Verdict::not_at_this_scale;
  return claim;
}

}  // namespace tweedie::experiments
