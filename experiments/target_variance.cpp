#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

#include "experiments/common/cell_study.h"
#include "experiments/common/command_line.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/target_variance/page.h"

namespace tweedie::experiments {
namespace {

CellOptions default_options() {
  CellOptions options;
  options.data.subset = 1000;
  options.optimisation.steps = 20000;
  return options;
}

/// Points of the plane with an MLP, and images with a U-Net; the dial from plain denoising score matching to the exact
/// score, at several sizes of the set.
std::vector<SweepStudy> studies(bool quick) {
  using Settings = std::vector<std::pair<std::string, std::string>>;
  const Settings points = {{"resolution", "0"},
                           {"view", "v"},
                           {"steps", quick ? "2000" : "20000"},
                           {"batch", "128"},
                           {"samples", "512"},
                           {"probes", "256"},
                           {"held-out", "256"},
                           {"log-every", "500"},
                           {"checkpoint-every", "0"},
                           {"likelihoods", quick ? "128" : "1024"}};
  const Settings images = {{"resolution", quick ? "8" : "32"},
                           {"view", "x0"},
                           {"steps", quick ? "800" : "30000"},
                           {"batch", quick ? "64" : "128"},
                           {"samples", quick ? "256" : "1000"},
                           {"probes", quick ? "128" : "1000"},
                           {"held-out", "128"},
                           {"log-every", quick ? "100" : "500"},
                           {"checkpoint-every", quick ? "0" : "5000"},
                           {"likelihoods", quick ? "32" : "256"}};
  const std::vector<std::string> dial = {"conditional",  "posterior:1", "posterior:4",
                                         "posterior:16", "exact",       "batch:64"};
  using Values = std::vector<std::string>;
  return {{.settings = points,
           .axes = {{"data", {"mixture:8,2"}},
                    {"network", {"mlp:128x3"}},
                    {"subset", {"16", "64", "256"}},
                    {"target", dial}}},
          {.settings = images,
           .axes = {{"data", {"fashion-mnist"}},
                    {"network", {quick ? "unet:8x1" : "unet-s"}},
                    {"subset", quick ? Values{"16", "64", "256"} : Values{"500", "2000", "8000"}},
                    {"target", dial}}}};
}

struct Options : CellOptions {
  std::int64_t likelihoods = 256;  // held-out images
};

void run(CommandLine& line, Options& options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  std::vector<SweepStudy> chosen = studies(options.run.quick);
  if (line.app().get_option("--data")->count() > 0) {  // one kind of data: the study that suits it
    const std::string& data = options.data.data;
    const bool points = data.starts_with("mixture:") || data.starts_with("gaussian:");
    chosen = {chosen[points ? 0 : 1]};
  }
  const std::vector<SweepCell> cells = cells_of(chosen, options.sweep, line);
  // Before cells change the options: config.json records those that were given.
  const nlohmann::ordered_json config = run_config(line, {{"device", name_of(device.kind)}, {"cells", cells.size()}});
  announce_cells(cells, line, options, device,
                 {.more_samples = [&] { return likelihood_samples(options.likelihoods); }});
  CellGrounds grounds;
  VarianceStudy study{.cells = cells};
  for (const SweepCell& cell : cells) {
    apply(cell, line);
    add_trace(study, options, ground_of(grounds, options, device));
  }
  if (options.run.dry_run) return;

  RunFolder folder(options.run.out, existing_of(options.run), config, {"micro-batch", "seeds", "sweep", "likelihoods"});
  Progress progress;
  study.results = run_sweep(cells, line, folder, progress, device, [&](const SweepCell& cell) {
    return run_cell(cell, options, ground_of(grounds, options, device), device, folder, progress);
  });
  if (options.likelihoods > 0)
    study.likelihoods = run_sweep(
        cells, line, folder, progress, device,
        [&](const SweepCell& cell) {
          return likelihood_of(cell, ground_of(grounds, options, device), options.likelihoods, device, folder);
        },
        "likelihood");
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
  const auto options = std::make_shared<Options>(Options{default_options()});
  return run_program(
      argc, argv,
      {.name = "target_variance",
       .description =
           "Does the variance of the training target make a network generalize? One dial from denoising score "
           "matching (K = 1) to the exact score (K = inf), everything else equal.",
       .examples = {{"target_variance --quick --out runs/variance", "minutes on two cores, points and real images"},
                    {"target_variance --quick --out runs/variance --resume", "go on after an interruption"},
                    {"target_variance --data fashion-mnist --resolution 16 --network unet:16x1 --seeds 0..4 --sweep "
                     "subset=250,1000 --sweep target=conditional,exact --steps 3000 --out runs/own",
                     "sizes and targets of one's own"}}},
      [&](CommandLine& line) {
        add_options(line, *options);
        line.app()
            .add_option("--likelihoods", options->likelihoods,
                        "Held-out images whose likelihood each network gives; 0: none")
            ->check(CLI::NonNegativeNumber)
            ->type_name("N")
            ->group("Study");
      },
      [&](CommandLine& line) { run(line, *options); });
}
