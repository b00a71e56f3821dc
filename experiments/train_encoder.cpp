#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numeric>

#include "experiments/common/alignment.h"
#include "experiments/common/command_line.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/report.h"
#include "experiments/common/resources.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/training.h"

namespace tweedie::experiments {
namespace {

struct Options {
  RunOptions run;
  ComputeOptions compute;
  DataOptions data;
  EncoderOptions encoder;
};

/// Means of the loss over stretches of steps.
Plot loss_plot(const std::vector<double>& losses) {
  Series series{.label = "cross-entropy", .x = {}, .y = {}, .draw = Draw::line};
  const std::size_t stretch = std::max<std::size_t>(1, losses.size() / 60);
  for (std::size_t first = 0; first + stretch <= losses.size(); first += stretch) {
    const auto from = losses.begin() + static_cast<std::ptrdiff_t>(first);
    series.x.push_back(static_cast<double>(first + stretch));
    series.y.push_back(std::accumulate(from, from + static_cast<std::ptrdiff_t>(stretch), 0.0) /
                       static_cast<double>(stretch));
  }
  return {.panels = {{.title = "Training loss",
                      .x = {.label = "step"},
                      .y = {.label = "cross-entropy (nats)", .logarithmic = true},
                      .series = {series}}}};
}

void run(const CommandLine& line, Options options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  if (options.run.quick) {
    if (options.data.resolution == 0) options.data.resolution = 16;
    options.encoder.steps = std::min<std::int64_t>(options.encoder.steps, 500);
    options.encoder.base_channels = std::min<std::int64_t>(options.encoder.base_channels, 16);
  }
  const TrainingData data = load_training_data(options.data);
  if (!data.held_out) throw UsageError(fmt::format("--data {}: has no test split to judge by", options.data.data));
  announce({.memory_bytes = 4 * (data.train.count + data.held_out->count) * data.train.dimension(),
            .disk_bytes = std::int64_t{4} << 20},
           options.run.out);
  if (options.run.dry_run) return;
  const RunFolder folder(options.run, line, {{"device", name_of(device.kind)}, {"images", data.train.count}});
  Progress progress;
  const TrainedEncoder trained =
      train_encoder_on(data.train, *data.held_out, options.encoder, device, options.compute.seed, progress);
  const double p = trained.test_accuracy, n = static_cast<double>(trained.test_count);
  const double error = std::sqrt(p * (1.0 - p) / n);
  const nlohmann::ordered_json results = {{"data", options.data.data},
                                          {"images", data.train.count},
                                          {"classes", data.train.classes},
                                          {"parameters", trained.encoder->parameter_count()},
                                          {"features", trained.encoder->feature_channels()},
                                          {"train_accuracy", trained.train_accuracy},
                                          {"test_accuracy", p},
                                          {"test_accuracy_se", error},
                                          {"test_n", trained.test_count},
                                          {"description", trained.description}};
  save_trained(folder.path() / "encoder", trained, results);
  Report report(
      fmt::format("Encoder of {}", options.data.data),
      fmt::format("{:.1f} ± {:.1f} % of {} test images are classified correctly, {:.1f} % of the training images. "
                  "The folder encoder/ holds the network.",
                  100.0 * p, 100.0 * error, trained.test_count, 100.0 * trained.train_accuracy));
  report.facts(run_facts(line, std::string(name_of(device.kind)), "float32", options.compute.seed));
  report.section("Training");
  report.plot(loss_plot(trained.losses), "Means over stretches of steps.");
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
      {.name = "train_encoder",
       .description =
           "Train a convolutional classifier on labelled images: its features are a space for distances between "
           "sets of images, and what representation alignment aligns with.",
       .examples = {{"train_encoder --quick --out runs/encoder", "Fashion-MNIST at 16 x 16, under a minute"},
                    {"train_encoder --data fashion-mnist --steps 4000 --out runs/encoder28", "28 x 28"}}},
      [&](CommandLine& line) {
        add_options(line, options->run);
        add_options(line, options->compute);
        add_options(line, options->data);
        CLI::App& app = line.app();
        app.remove_option(app.get_option("--resume"));
        const auto count = [&](const char* name, std::int64_t& value, const char* help) {
          app.add_option(name, value, help)->check(CLI::PositiveNumber)->type_name("N")->group("Training");
        };
        count("--steps", options->encoder.steps, "Optimiser steps, the learning rate falling as a half cosine");
        count("--batch", options->encoder.batch, "Images a step");
        count("--base-channels", options->encoder.base_channels, "Channels of the first level, a multiple of 8");
        app.add_option("--learning-rate", options->encoder.learning_rate, "After warm-up")
            ->check(CLI::Range(0.0, 1e3))
            ->group("Training");
      },
      [&](const CommandLine& line) { run(line, *options); });
}
