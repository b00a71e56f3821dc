#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>

#include "diffusion/data/load.h"
#include "diffusion/data/png.h"
#include "diffusion/samplers.h"
#include "experiments/common/alignment.h"
#include "experiments/common/command_line.h"
#include "experiments/common/interventions.h"
#include "experiments/common/log.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/report.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/training.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

struct Options {
  RunOptions run;
  ComputeOptions compute;
  DataOptions data;
  ModelOptions model;
  InterventionOptions intervention;
  OptimisationOptions optimisation;
  AlignmentOptions alignment;
  std::int64_t samples = 64;
};

/// What --quick stands for: minutes on two cores.
void apply_quick(Options& options) {
  if (options.data.resolution == 0) options.data.resolution = 16;
  options.model.network = "unet:16x1";
  options.optimisation.steps = std::min<std::int64_t>(options.optimisation.steps, 1000);
  options.optimisation.batch = std::min<std::int64_t>(options.optimisation.batch, 64);
  options.optimisation.checkpoint_every = std::min<std::int64_t>(options.optimisation.checkpoint_every, 250);
}

nlohmann::ordered_json read_metrics(const RunFolder& run) {
  auto records = nlohmann::ordered_json::array();
  const std::string text = io::read_text(run.path() / "metrics.jsonl");
  for (std::size_t first = 0; first < text.size();) {
    const std::size_t last = text.find('\n', first);
    if (last == std::string::npos) break;
    records.push_back(nlohmann::ordered_json::parse(text.substr(first, last - first)));
    first = last + 1;
  }
  return records;
}

/// Classes in turn for a conditional model, else none.
Tensor class_labels(const NetworkScore& model, const std::vector<std::int64_t>& streams) {
  const std::int64_t classes = model.classes();
  if (classes == 0) return {};
  std::vector<std::int64_t> labels;
  for (const std::int64_t stream : streams) labels.push_back(stream % classes);
  return Tensor::from_host(std::span<const std::int64_t>(labels), {static_cast<std::int64_t>(labels.size())},
                           model.device());
}

Plot loss_plot(const nlohmann::ordered_json& records) {
  Series train{.label = "training", .x = {}, .y = {}, .draw = Draw::line};
  Series held_out{.label = "held-out, raw weights", .x = {}, .y = {}, .draw = Draw::line};
  Series average{.label = "held-out, averaged weights", .x = {}, .y = {}, .draw = Draw::dashed};
  for (const auto& record : records) {
    const double step = record.at("step");
    train.x.push_back(step);
    train.y.push_back(record.at("loss"));
    if (!record.contains("held_out_loss")) continue;
    held_out.x.push_back(step);
    held_out.y.push_back(record.at("held_out_loss"));
    average.x.push_back(step);
    average.y.push_back(record.at("held_out_loss_average_weights"));
  }
  Panel by_step{.title = "Loss over training",
                .x = {.label = "step"},
                .y = {.label = "weighted loss a sample", .logarithmic = true},
                .series = {train}};
  if (!held_out.x.empty()) {
    by_step.series.push_back(held_out);
    by_step.series.push_back(average);
  }
  Panel by_level{.title = "Loss by noise level, last record",
                 .x = {.label = "t"},
                 .y = {.label = "weighted loss a sample", .logarithmic = true},
                 .series = {}};
  const auto level_series = [&](const char* key, const std::string& label) {
    Series series{.label = label, .x = {}, .y = {}};
    for (const auto& bin : records.back().at(key)) {
      const double mean = bin.at("mean"), se = bin.at("se");
      if (bin.at("n").get<std::int64_t>() == 0 || !(mean > se)) continue;
      series.x.push_back(0.5 * (bin.at("t_low").get<double>() + bin.at("t_high").get<double>()));
      series.y.push_back(mean);
      series.low.push_back(mean - se);
      series.high.push_back(mean + se);
    }
    if (!series.x.empty()) by_level.series.push_back(series);
  };
  level_series("loss_by_level", "training");
  if (records.back().contains("held_out_by_level")) level_series("held_out_by_level", "held-out");
  return {.panels = {by_step, by_level}};
}

void run(const CommandLine& line, Options options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  if (options.run.quick) apply_quick(options);
  const TrainingData data = load_training_data(options.data);
  const auto model = make_model(options.model, data.train, device, options.compute.seed);
  const data::ImageSet region = grow_region(options.data, data.train, options.intervention.region_ratio);
  if (options.optimisation.batch > region.count)
    throw UsageError(
        fmt::format("--batch {} is larger than the data, {} images", options.optimisation.batch, region.count));
  const Objective objective =
      make_objective(options.model, options.intervention,
                     intervention_ground(options.model, data.train, region, device, options.compute.seed));
  std::shared_ptr<const InputSource> held_out;
  if (data.held_out) held_out = std::make_shared<NoisedData>(on_device(*data.held_out, device), model->process());
  Trainer trainer(*model, objective, held_out, trainer_options(options.optimisation, options.compute.seed),
                  make_alignment(options.alignment, *model, options.compute.seed));
  const std::int64_t every = options.optimisation.checkpoint_every;
  const std::int64_t checkpoints = 1 + (every > 0 ? options.optimisation.steps / every : 0);
  // Before the folder is made, so that a run which cannot be done leaves nothing.
  const std::filesystem::path checkpoint_folder = std::filesystem::path(options.run.out) / "checkpoints";
  prepare(trainer, options.run.out, checkpoints,
          options.run.resume ? newest_checkpoint(checkpoint_folder, options.optimisation.steps).second : 0);
  if (options.run.dry_run) return;
  RunFolder folder(options.run, line,
                   {{"device", name_of(device.kind)},
                    {"images", data.train.count},
                    {"height", data.train.height},
                    {"width", data.train.width},
                    {"channels", data.train.channels},
                    {"network", nlohmann::ordered_json::parse(model->network().config())},
                    {"steps", options.optimisation.steps},
                    {"batch", options.optimisation.batch}},
                   {"micro-batch"});
  const TrainingJob job{.name = options.model.network, .folder = folder.checkpoints(), .images = describe(data.train)};
  if (folder.resumed()) take_up(trainer, job, folder);
  Progress progress;
  train(trainer, job, options.optimisation.steps, every, folder, progress);

  Report report(
      fmt::format("{} on {}", options.model.network, options.data.data),
      fmt::format("A score network trained for the score of {} images: {}.", data.train.count, objective.describe()));
  report.facts(run_facts(line, std::string(name_of(device.kind)), options.compute.precision, options.compute.seed));
  nlohmann::ordered_json results;
  results["data"] = options.data.data;
  results["model"] = options.model.network;
  results["source"] = options.intervention.source;
  results["target"] = options.intervention.target;
  results["region"] = region.count;
  results["seed"] = options.compute.seed;
  results["parameters"] = model->network().parameter_count();
  results["steps"] = trainer.steps_done();
  results["flops"] = trainer.flops_done();
  const nlohmann::ordered_json records = read_metrics(folder);
  if (!records.empty()) {
    for (const char* key :
         {"loss", "loss_se", "loss_n", "held_out_loss", "held_out_loss_se", "held_out_loss_average_weights"})
      if (records.back().contains(key)) results[key] = records.back()[key];
    report.section("Training");
    report.plot(loss_plot(records),
                "The weighted regression loss; bands and bars are standard errors over samples. "
                "Most of it is the variance of the target, which no network removes.");
  }
  if (options.samples > 0 && (data.train.channels == 1 || data.train.channels == 3)) {
    const WeightScope averaged(model->network(), trainer.average());
    const Progress::Stage stage(progress, "sample", 0);
    std::vector<std::int64_t> streams(static_cast<std::size_t>(options.samples));
    std::iota(streams.begin(), streams.end(), 0);
    const Shape image{data.train.height, data.train.width, data.train.channels};
    const SamplerState start =
        start_from_noise(model->process(), image, streams, options.compute.seed, device, class_labels(*model, streams),
                         sampling_start(model->process(), model->parameterisation()));
    const std::vector<float> samples =
        heun(*model, start, {.steps = 25, .seed = options.compute.seed, .batch = 64}).to_host();
    const data::Picture grid =
        data::image_grid(samples, data.train.height, data.train.width, data.train.channels, {.scale = 2});
    data::write_png(folder.images() / "samples.png", grid);
    report.section("Samples");
    report.gallery({picture_from_file(folder.images() / "samples.png",
                                      fmt::format("{} samples with averaged weights", options.samples))},
                   "Probability-flow ODE, Heun's method, 25 steps.");
  }
  folder.write_results(results);
  report.write(folder.report());
  fmt::print("{}\n", folder.report().string());
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  const auto options = std::make_shared<Options>();
  return run_program(
      argc, argv,
      {.name = "train_dsm",
       .description = "Train a score network, by denoising score matching or another regression.",
       .examples = {{"train_dsm --quick --out runs/first", "a small U-Net on Fashion-MNIST at 16 x 16, in minutes"},
                    {"train_dsm --network unet-s --resolution 32 --steps 20000 --out runs/s", "32 x 32, 20,000 steps"},
                    {"train_dsm --network unet-s --resolution 32 --steps 20000 --out runs/s --resume",
                     "go on after an interruption"},
                    {"train_dsm --quick --subset 500 --region-ratio 4 --target exact --out runs/region",
                     "the empirical score of 500 images, learned on the noised states of 2000"}}},
      [&](CommandLine& line) {
        add_options(line, options->run);
        add_options(line, options->compute);
        add_options(line, options->data);
        add_options(line, options->model);
        add_options(line, options->intervention);
        add_options(line, options->optimisation);
        add_options(line, options->alignment);
        line.app()
            .add_option("--samples", options->samples, "Samples shown at the end; 0: none")
            ->check(CLI::NonNegativeNumber)
            ->type_name("N");
      },
      [&](const CommandLine& line) { run(line, *options); });
}
