#include "experiments/selective_underfitting/plans.h"

#include <algorithm>

#include "experiments/common/command_line.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

/// A plan before the command line changes it.
struct Kind {
  std::string title;  // empty: the plan's label
  std::string data;   // its own, whatever --data says; empty: --data
  SweepStudy study;
};

/// Minutes on two cores: two widths on mosaics of real tiles, where the contrastive trend can show, and one network on
/// plain images for pictures and restarts.
std::vector<Kind> quick_kinds(bool swept) {
  const auto kind = [](const std::string& title, const std::string& data, const std::string& networks,
                       const std::string& view, const std::string& subset, const std::string& checkpoints,
                       const std::string& every, const std::string& samples) {
    return Kind{.title = title,
                .data = data,
                .study = {.settings = {{"resolution", "16"},
                                       {"subset", subset},
                                       {"view", view},
                                       {"networks", networks},
                                       {"checkpoints", checkpoints},
                                       {"checkpoint-every", every},
                                       {"batch", "64"},
                                       {"held-out", "128"},
                                       {"log-every", "100"},
                                       {"probes", "128"},
                                       {"samples", samples},
                                       {"restarts", "64"}},
                          .axes = {}}};
  };
  std::vector<Kind> kinds;
  if (!swept)
    kinds.push_back(kind("Mosaics of 4 x 4-pixel tiles: error over training and width", "mosaic:4",
                         "unet:8x1,unet:16x1", "x0", "1000", "200,400,600", "200", "256"));
  kinds.push_back(kind(swept ? "" : "Plain images: pictures, restarts, nearest neighbours", "", "unet:16x1", "v",
                       "2000", "400,800", "400", "512"));
  return kinds;
}

void check(const StudyPlan& plan) {
  if (plan.networks.empty() || plan.checkpoints.empty())
    throw UsageError("--networks and --checkpoints each need at least one value");
  for (std::size_t i = 0; i < plan.checkpoints.size(); ++i)
    if (plan.checkpoints[i] < 1 || (i > 0 && plan.checkpoints[i] <= plan.checkpoints[i - 1]))
      throw UsageError("--checkpoints: expected rising positive steps, e.g. 200,400,800");
}

void name(StudyPlan& plan, const SweepCell& cell) {
  plan.swept = cell.values;
  plan.name = plan.label = plan.data.data;
  std::replace_if(
      plan.name.begin(), plan.name.end(), [](char c) { return c == ':' || c == '/' || c == ','; }, '_');
  if (!cell.values.empty()) plan.name += "," + cell.group();
  for (const auto& [key, value] : cell.values)
    if (key != "data") plan.label += fmt::format(", {} {}", key, value);
}

}  // namespace

StudyPlan default_plan() {
  StudyPlan plan;
  plan.data.resolution = 32;
  plan.networks = {"unet-xs", "unet-s", "unet-m"};
  plan.checkpoints = {1000, 3000, 10000, 30000};
  plan.optimisation.checkpoint_every = 1000;
  plan.optimisation.log_every = 100;
  plan.probes = 1000;
  plan.samples = 2000;
  return plan;
}

std::vector<StudyPlan> plans_of(CommandLine& line, const StudyPlan& in_force, const SweepOptions& sweep, bool quick) {
  const std::vector<std::uint64_t> seeds = parse_seeds(sweep.seeds);
  const std::vector<Kind> kinds = quick ? quick_kinds(!sweep.axes.empty()) : std::vector<Kind>(1);
  // All cells before any is applied; one for all seeds, which are a plan's own.
  std::vector<std::vector<SweepCell>> cells;
  for (const Kind& kind : kinds) cells.push_back(study_cells(kind.study, {.seeds = "0", .axes = sweep.axes}, line));
  std::vector<StudyPlan> plans;
  for (std::size_t i = 0; i < kinds.size(); ++i)
    for (const SweepCell& cell : cells[i]) {
      for (const auto& [key, value] : cell.values)
        if (key.starts_with("study")) throw UsageError(fmt::format("--sweep {}: this option cannot be swept", key));
      apply(cell, line);
      StudyPlan plan = in_force;
      if (!kinds[i].data.empty()) plan.data.data = kinds[i].data;
      check(plan);
      name(plan, cell);
      if (std::ranges::any_of(plans, [&](const StudyPlan& other) { return other.name == plan.name; }))
        plan.name += ",plain";  // --quick --data mosaic:4
      plan.title = kinds[i].title.empty() ? plan.label : kinds[i].title;
      plan.seeds = seeds;
      plans.push_back(std::move(plan));
    }
  return plans;
}

}  // namespace tweedie::experiments
