#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/scaling_law/page.h"

namespace tweedie::experiments {
namespace {

/// The full size, meant for a GPU.
ScalingOptions default_options() {
  ScalingOptions options;
  options.data.resolution = 32;
  options.data.subset = 20000;
  options.optimisation.steps = 40000;
  options.optimisation.checkpoint_every = 0;  // looks are checkpoints
  options.optimisation.log_every = 500;
  options.samples = 5000;
  options.probes = 1000;
  options.encoder.steps = 4000;
  options.looks = 5;
  return options;
}

/// Networks of three kinds and several sizes; and one transformer aligned with an encoder, more and less.
std::vector<SweepStudy> studies(bool quick, bool labelled) {
  using Values = std::vector<std::string>;
  std::vector<std::pair<std::string, std::string>> settings;
  if (quick)
    settings = {{"resolution", "16"}, {"subset", "10000"},      {"steps", "400"},          {"batch", "64"},
                {"probes", "128"},    {"samples", "256"},       {"held-out", "0"},         {"log-every", "100"},
                {"looks", "3"},       {"encoder-steps", "400"}, {"encoder-channels", "16"}};
  const Values networks =
      quick ? Values{"unet-conv:8x1", "unet-conv:16x1", "unet:8x1", "unet:16x1", "dit:32x3/2", "dit:64x3/2"}
            : Values{"unet-conv-xs", "unet-conv-s", "unet-conv-m", "unet-xs", "unet-s",
                     "unet-m",       "dit-xxs/2",   "dit-xs/2",    "dit-s/2"};
  std::vector<SweepStudy> all = {{.settings = settings, .axes = {{"network", networks}, {"align", {"0"}}}}};
  if (labelled)
    all.push_back({.settings = settings,
                   .axes = {{"network", {quick ? "dit:64x3/2" : "dit-xs/2"}}, {"align", {"0.25", "0.5", "1"}}}});
  return all;
}

bool any_aligned(const std::vector<SweepCell>& cells) {
  return std::any_of(cells.begin(), cells.end(), [](const SweepCell& cell) { return weight_of(cell) > 0.0; });
}

void run(CommandLine& line, ScalingOptions& options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  DataOptions few = options.data;
  few.subset = 16;
  const bool labelled = load_training_data(few).train.classes > 0;
  if (!labelled)
    log_info("--data {}: no labels, so no encoder: distances in principal components, no alignment", options.data.data);
  const std::vector<SweepCell> cells = cells_of(studies(options.run.quick, labelled), options.sweep, line);
  // Before cells change the options: config.json records those that were given.
  const nlohmann::ordered_json config = run_config(line, {{"device", name_of(device.kind)}, {"cells", cells.size()}});

  const bool aligned = any_aligned(cells);
  apply(cells.front(), line);
  few = options.data;
  few.subset = 256;
  const data::ImageSet images = load_training_data(few).train;
  if (labelled || aligned) require_encodable(images);
  const std::int64_t encoders = (labelled ? 1 : 0) + (aligned && options.alignment.encoder.empty() ? 1 : 0);
  CellCosts costs = encoder_costs(options, images, encoders, device);
  costs.looks = options.looks;
  std::shared_ptr<const ConvEncoder> untrained;
  if (aligned)
    untrained = std::make_shared<const ConvEncoder>(ConvEncoderConfig{.height = images.height,
                                                                      .width = images.width,
                                                                      .channels = images.channels,
                                                                      .base_channels = options.encoder.base_channels,
                                                                      .classes = images.classes},
                                                    device, 0);
  costs.alignment = [&](NetworkScore& model, std::uint64_t seed) {
    return make_alignment(options.alignment, untrained, model, seed);
  };
  announce_cells(cells, line, options, device, costs);
  CellGrounds grounds;
  const CellGround* ground = nullptr;
  for (const SweepCell& cell : cells) {
    apply(cell, line);
    const CellGround& own = ground_of(grounds, options, device);
    if (ground != nullptr && ground != &own)
      throw UsageError("--sweep: this experiment compares its networks on one set of images and of probes");
    ground = &own;
  }
  if (!options.alignment.encoder.empty()) load_features(options.alignment.encoder, images, "--encoder", device);
  if (options.run.dry_run) return;

  RunFolder folder(options.run.out, existing_of(options.run), config, {"micro-batch", "seeds", "sweep"});
  Progress progress;
  const Judges judges = lay_judges(options, *ground, aligned, device, folder, progress);
  ScalingStudy study{.cells = cells, .results = {}, .pairs = shift_pairs(cells), .shifts = {}, .features = {}};
  study.features = features_of(judges);
  study.results = run_sweep(cells, line, folder, progress, device, [&](const SweepCell& cell) {
    return run_scaling_cell(cell, options, *ground, judges, device, folder, progress);
  });
  // Each pair under the name of a cell that no other pair has.
  std::vector<SweepCell> keys;
  for (const ShiftPair& pair : study.pairs) keys.push_back(pair.reseeded ? pair.from : pair.to);
  study.shifts = run_sweep(
      keys, line, folder, progress, device,
      [&](const SweepCell& key) {
        const auto at =
            std::find_if(keys.begin(), keys.end(), [&](const SweepCell& k) { return k.name() == key.name(); });
        const ShiftPair& pair = study.pairs[static_cast<std::size_t>(at - keys.begin())];
        nlohmann::ordered_json row = {{"against_seed", pair.to.seed}};
        row.update(shift_between(pair.from, pair.to, options, *ground, device, folder));
        return row;
      },
      "shift");
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
  const auto options = std::make_shared<ScalingOptions>(default_options());
  return run_program(
      argc, argv,
      {.name = "scaling_law",
       .description =
           "Does the supervision loss foretell the quality of samples, and does that depend on what a network "
           "is made of? Trains U-Nets with and without attention, transformers, and transformers aligned "
           "with an encoder, and fits lines with intervals.",
       .examples = {{"scaling_law --quick --out runs/scaling", "minutes on two cores, real data"},
                    {"scaling_law --quick --out runs/scaling --resume", "go on after an interruption"},
                    {"scaling_law --resolution 16 --subset 5000 --seeds 0..4 --sweep network=unet:16x1,dit:96x4/2 "
                     "--sweep align=0,0.5 --steps 3000 --out runs/own",
                     "networks, weights and seeds of one's own"}}},
      [&](CommandLine& line) {
        add_options(line, static_cast<CellOptions&>(*options));
        add_options(line, options->alignment);
        const auto count = [&](const char* name, std::int64_t& value, const char* help) {
          line.app().add_option(name, value, help)->check(CLI::PositiveNumber)->type_name("N")->group("Study");
        };
        count("--looks", options->looks, "Steps at which a network is judged: its last, half of it, a quarter ...");
        count("--encoder-steps", options->encoder.steps, "Steps that the judging and the teaching encoder are trained");
        count("--encoder-channels", options->encoder.base_channels, "Channels of their first level, a multiple of 8");
      },
      [&](CommandLine& line) { run(line, *options); });
}
