#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "experiments/common/sweep.h"
#include "experiments/selective_underfitting/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// One network of one seed under one plan, as the cell of a sweep, and its numbers.
struct Cells {
  std::vector<SweepCell> cells;
  std::vector<Json> results;
};

std::optional<double> error_at(const StudyOutcome& outcome, const std::string& network, std::uint64_t seed,
                               std::int64_t step, const char* region) {
  for (const Json& look : outcome.looks)
    if (look.at("model") == network && look.at("seed") == seed && look.at("step") == step)
      for (const Json& entry : look.at("regions"))
        if (entry.at("region") == region && entry.at("weights") == "ema") return entry.at("error").get<double>();
  return {};
}

Json numbers_of(const StudyOutcome& outcome, const std::string& network, std::size_t at) {
  const std::uint64_t seed = outcome.plan.seeds[at];
  const std::int64_t first = outcome.plan.checkpoints.front(), last = outcome.plan.checkpoints.back();
  Json numbers = Json::object();
  const auto ratio = [&](const char* key, std::int64_t above, const char* region, std::int64_t below,
                         const char* other) {
    const auto numerator = error_at(outcome, network, seed, above, region),
               denominator = error_at(outcome, network, seed, below, other);
    if (numerator && denominator) numbers[key] = *numerator / *denominator;
  };
  if (last > first) {
    ratio("sup_ratio", last, "sup", first, "sup");
    ratio("ext_ratio", last, "ext", first, "ext");
  }
  ratio("gap", last, "ext", last, "sup");
  if (network == outcome.examined) numbers["restart_transition"] = restart_transition(outcome.findings[at].restart);
  for (const Json& look : outcome.looks)
    if (look.at("model") == network && look.at("seed") == seed && look.at("step") == last)
      numbers["frechet"] = look.at("frechet").at("ema");
  return numbers;
}

Cells cells_of(const std::vector<StudyOutcome>& outcomes) {
  Cells all;
  for (const StudyOutcome& outcome : outcomes)
    for (const std::string& network : outcome.plan.networks)
      for (std::size_t at = 0; at < outcome.plan.seeds.size(); ++at) {
        SweepCell cell{.values = outcome.plan.swept, .seed = outcome.plan.seeds[at]};
        cell.values.emplace_back("model", network);
        all.cells.push_back(std::move(cell));
        all.results.push_back(numbers_of(outcome, network, at));
      }
  return all;
}

/// The swept option whose values stand along x: the first that takes several.
std::string varied_key(const std::vector<StudyOutcome>& outcomes) {
  const auto& swept = outcomes.front().plan.swept;
  for (std::size_t i = 0; i < swept.size(); ++i)
    for (const StudyOutcome& outcome : outcomes)
      if (outcome.plan.swept[i].second != swept[i].second) return swept[i].first;
  return swept.front().first;
}

/// Whether all values of an option are positive numbers that span a decade.
bool logarithmic(const std::vector<SweepCell>& cells, const std::string& key) {
  double least = INFINITY, most = 0.0;
  for (const SweepCell& cell : cells) {
    const double value = std::strtod(cell.value(key).c_str(), nullptr);
    least = std::min(least, value);
    most = std::max(most, value);
  }
  return least > 0.0 && most >= 10.0 * least;
}

const std::vector<SweepMeasure>& measures() {
  static const std::vector<SweepMeasure> all = {{"/sup_ratio", "supervised error, last / first"},
                                                {"/ext_ratio", "extrapolated error, last / first"},
                                                {"/gap", "extrapolated / supervised error", true},
                                                {"/restart_transition", "t where half of the restarts return"},
                                                {"/frechet", "Frechet distance", true}};
  return all;
}

}  // namespace

Json sweep_rows(const std::vector<StudyOutcome>& outcomes) {
  Json rows = Json::array();
  for (const StudyOutcome& outcome : outcomes)
    for (const std::string& network : outcome.plan.networks)
      for (std::size_t at = 0; at < outcome.plan.seeds.size(); ++at) {
        Json row = {{"plan", outcome.plan.name}, {"data", outcome.plan.data.data}};
        for (const auto& [key, value] : outcome.plan.swept) row[key] = value;
        row["model"] = network;
        row["seed"] = outcome.plan.seeds[at];
        row.update(numbers_of(outcome, network, at));
        rows.push_back(std::move(row));
      }
  return rows;
}

void add_sweep(Report& report, const std::vector<StudyOutcome>& outcomes) {
  const Cells all = cells_of(outcomes);
  const std::string key = varied_key(outcomes);
  report.section("The plans beside each other");
  report.text(fmt::format(
      "What was swept: {}. Errors as above, at the last checkpoint over the first, and at the last one extrapolated "
      "over "
      "supervised; restarts of the network that is examined; Frechet distance of the last checkpoint's samples in "
      "principal components. Means over seeds with standard errors; Student's intervals are in the table of claims.",
      key));
  Plot plot{.panels = {}, .columns = 2};
  for (const SweepMeasure& measure : measures()) {
    Panel panel = sweep_panel(all.cells, all.results, measure, key, logarithmic(all.cells, key));
    if (!panel.series.empty()) plot.panels.push_back(std::move(panel));
  }
  report.plot(plot, fmt::format("Against {}; bars are standard errors over seeds.", key));
  report.table(sweep_table(all.cells, all.results, measures()), "The same as numbers, ± standard error over seeds.");
}

}  // namespace tweedie::experiments
