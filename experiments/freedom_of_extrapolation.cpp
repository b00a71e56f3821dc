#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <memory>

#include "experiments/common/cell_study.h"
#include "experiments/common/command_line.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/freedom_of_extrapolation/page.h"

namespace tweedie::experiments {
namespace {

/// The full size, meant for a GPU.
CellOptions default_options() {
  CellOptions options;
  options.data.resolution = 32;
  options.data.subset = 2000;
  options.model.view = "x0";
  options.intervention.target = "posterior";
  options.optimisation.steps = 30000;
  options.samples = 1000;
  options.probes = 1000;
  return options;
}

/// The region grown around a score set, for each network; and two controls that supervise more states without new
/// images' own targets: the shells of the score set thickened, and its images duplicated over the region.
std::vector<SweepStudy> studies(bool quick) {
  using Axes = std::vector<SweepAxis>;
  const std::string conv = quick ? "unet:8x1" : "unet-s", dense = quick ? "mlp:256x4" : "mlp:2048x6";
  const std::string target = quick ? "exact" : "posterior";
  std::vector<std::pair<std::string, std::string>> settings;
  if (quick)
    settings = {{"resolution", "16"}, {"subset", "256"},  {"steps", "800"},    {"batch", "64"},
                {"probes", "128"},    {"samples", "256"}, {"held-out", "128"}, {"log-every", "100"}};
  const auto study = [&](const std::string& network, const std::string& source, const std::string& asked,
                         const std::vector<std::string>& ratios, const std::string& steps) {
    SweepStudy one{
        .settings = settings,
        .axes = Axes{{"network", {network}}, {"source", {source}}, {"target", {asked}}, {"region-ratio", ratios}}};
    if (quick)
      for (auto& [key, value] : one.settings)
        if (key == "steps") value = steps;
    return one;
  };
  const std::vector<std::string> ratios =
      quick ? std::vector<std::string>{"1", "4", "16"} : std::vector<std::string>{"1", "2", "3", "4", "8", "25.6"};
  return {study(conv, "data", target, ratios, "800"), study(dense, "data", target, ratios, "2000"),
          study(conv, "shells:0.1", target, {"1"}, "800"), study(conv, "data", "duplicated", {"4"}, "800")};
}

void run(CommandLine& line, CellOptions& options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  const std::vector<SweepCell> cells = cells_of(studies(options.run.quick), options.sweep, line);
  // Before cells change the options: config.json records those that were given.
  const nlohmann::ordered_json config = run_config(line, {{"device", name_of(device.kind)}, {"cells", cells.size()}});
  announce_cells(cells, line, options, device);
  CellGrounds grounds;
  for (const SweepCell& cell : cells) {
    apply(cell, line);
    ground_of(grounds, options, device);
  }
  if (options.run.dry_run) return;

  RunFolder folder(options.run.out, existing_of(options.run), config, {"micro-batch", "seeds", "sweep"});
  Progress progress;
  const auto results = run_sweep(cells, line, folder, progress, device, [&](const SweepCell& cell) {
    return run_cell(cell, options, ground_of(grounds, options, device), device, folder, progress);
  });
  const RegionStudy study{.cells = cells, .results = results};
  folder.write_results(results_of(study));
  Report report = page_of(study, folder);
  report.facts(run_facts(line, std::string(name_of(device.kind)), options.compute.precision, options.compute.seed));
  report.write(folder.report());
  fmt::print("{}\n", folder.report().string());
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  const auto options = std::make_shared<CellOptions>(default_options());
  return run_program(
      argc, argv,
      {.name = "freedom_of_extrapolation",
       .description = "Does supervising the same score on a larger region make a network memorise? Trains networks for "
                      "the score of a fixed set on the noised images of ever larger ones.",
       .examples = {{"freedom_of_extrapolation --quick --out runs/freedom", "minutes on two cores, real data"},
                    {"freedom_of_extrapolation --quick --out runs/freedom --resume", "go on after an interruption"},
                    {"freedom_of_extrapolation --data fashion-mnist --subset 500 --network unet-xs --seeds 0..4 "
                     "--sweep region-ratio=1,2,4,8 --steps 3000 --out runs/own",
                     "one network, five seeds, ratios of one's own"}}},
      [&](CommandLine& line) { add_options(line, *options); }, [&](CommandLine& line) { run(line, *options); });
}
