#include "experiments/common/training.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

#include "diffusion/data/load.h"
#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "nn/checkpoint.h"

namespace tweedie::experiments {
void add_options(CommandLine& line, ModelOptions& options) {
  CLI::App& app = line.app();
  const auto text = [&](const char* name, std::string& value, const char* help, const char* type) {
    app.add_option(name, value, help)->type_name(type)->group("Model");
  };
  text("--network", options.network, network_help().c_str(), "SPEC");
  text("--process", options.process, "linear, edm, vp, vp-song or cosine", "NAME");
  text("--view", options.view, "What the network's raw output means: eps, x0, v, score, or edm (preconditioned)",
       "NAME");
  text("--weight", options.weighting,
       "Where the loss has weight 1: raw, x0, eps, v, score; or edm[:SIGMA_DATA], min-snr[:GAMMA]", "NAME");
  text("--levels", options.levels,
       "Noise levels: uniform, log-normal[:MEAN,STD], logit-normal[:MEAN,STD] or uniform-log-snr", "NAME");
  app.add_flag("--conditional", options.conditional, "Condition the network on the class labels")->group("Model");
  app.add_option(
         "--label-drop", options.label_drop,
         "With --conditional: share of labels that training replaces by the null class, so that the network can be "
         "guided; 0: no null class")
      ->check(CLI::Range(0.0, 0.999))
      ->group("Model");
}

void add_options(CommandLine& line, OptimisationOptions& options) {
  CLI::App& app = line.app();
  const auto count = [&](const char* name, std::int64_t& value, const char* help, std::int64_t least) {
    app.add_option(name, value, help)->check(CLI::Range(least, INT64_MAX / 4))->type_name("N")->group("Training");
  };
  const auto number = [&](const char* name, double& value, const char* help, double low, double high) {
    app.add_option(name, value, help)->check(CLI::Range(low, high))->group("Training");
  };
  count("--steps", options.steps, "Optimiser steps", 0);
  count("--batch", options.batch, "Samples a step", 1);
  count("--micro-batch", options.micro_batch, "Samples through the network at once; 0: as many as fit", 0);
  app.add_flag("--graph", options.graph, "On cuda: give each step to the device as one graph")->group("Training");
  number("--learning-rate", options.learning_rate, "After warm-up", 0.0, 1e6);
  count("--warmup", options.warmup, "Steps of linear warm-up", 0);
  app.add_option("--schedule", options.schedule, "constant, or cosine down to 0 at the last step")
      ->check(CLI::IsMember({"constant", "cosine"}))
      ->type_name("NAME")
      ->group("Training");
  number("--clip", options.clip, "Largest norm of all gradients; 0: no clipping", 0.0, 1e12);
  number("--weight-decay", options.weight_decay, "Of AdamW", 0.0, 1e3);
  number("--beta2", options.beta2, "Decay of the second moment", 0.0, 0.9999999);
  number("--average-decay", options.average_decay, "Of the averaged weights (EMA), at most; 0: none", 0.0, 0.9999999);
  count("--log-every", options.log_every, "Steps between records in metrics.jsonl", 1);
  count("--checkpoint-every", options.checkpoint_every, "Steps between checkpoints; 0: at the end only", 0);
  count("--held-out", options.held_out, "Test samples whose loss each record gives; 0: none", 0);
}

TrainingData load_training_data(const DataOptions& options) {
  data::DataRequest request{.name = options.data,
                            .split = data::Split::train,
                            .resolution = options.resolution,
                            .classes = {options.classes.begin(), options.classes.end()},
                            .subset = options.subset,
                            .subset_seed = options.subset_seed};
  TrainingData data{.train = data::load_data(request), .held_out = {}};
  request.split = data::Split::test;
  request.subset = 0;
  try {
    data.held_out = data::load_data(request);
  } catch (const UsageError& error) {
    log_debug("no held-out data: {}", error.what());
  }
  return data;
}

std::shared_ptr<const DeviceImages> on_device(const data::ImageSet& images, Device device) {
  const Shape rows{images.count, images.dimension()};
  auto out = std::make_shared<DeviceImages>();
  out->pixels = images.dtype == DType::uint8 ? Tensor::from_host(images.bytes(), rows, device)
                                             : Tensor::from_host(images.floats(), rows, device);
  out->height = images.height;
  out->width = images.width;
  out->channels = images.channels;
  out->labels = images.labels;
  out->label_classes = images.classes;
  return out;
}

double data_spread(const data::ImageSet& images) {
  const auto d = static_cast<std::size_t>(images.dimension());
  std::vector<double> sum(d), squares(d);
  std::vector<float> image(d);
  const std::int64_t count = std::min<std::int64_t>(images.count, 10000);
  for (std::int64_t i = 0; i < count; ++i) {
    images.copy_float(i, image);
    for (std::size_t j = 0; j < d; ++j) {
      sum[j] += image[j];
      squares[j] += static_cast<double>(image[j]) * image[j];
    }
  }
  double variance = 0.0;
  const auto n = static_cast<double>(count);
  for (std::size_t j = 0; j < d; ++j) variance += std::max(0.0, squares[j] / n - sum[j] / n * (sum[j] / n));
  return std::sqrt(variance / static_cast<double>(d));
}

std::unique_ptr<NetworkScore> make_model(const ModelOptions& options, const data::ImageSet& images, Device device,
                                         std::uint64_t seed) {
  const Process process = Process::named(options.process);
  const Conditioning conditioning{.on_classes = options.conditional,
                                  .label_drop = options.conditional ? options.label_drop : 0.0};
  const std::string config = network_config(options.network, images, conditioning);
  Parameterisation parameterisation;
  if (options.view == "edm") {
    const double spread = data_spread(images);
    parameterisation = Parameterisation::edm(spread > 0.0 ? spread : 0.5);
  } else {
    parameterisation = Parameterisation::plain(parse_view(options.view));
  }
  const std::string& origin = options.network.ends_with(".json") ? options.network : "config.json";
  const std::shared_ptr<Network> network = make_network(config, device, seed, origin);
  std::optional<std::int64_t> null_label;
  if (conditioning.label_drop > 0.0) null_label = images.classes;
  const std::int64_t labels = options.conditional ? images.classes + (null_label ? 1 : 0) : 0;
  if (network->label_classes() != labels)
    throw UsageError(fmt::format("{}: a network of {} labels where --conditional and --label-drop ask for {}", origin,
                                 network->label_classes(), labels));
  return std::make_unique<NetworkScore>(network, process, parameterisation, null_label);
}

LabelDrop label_drop(const ModelOptions& options, std::int64_t classes) {
  return {.probability = options.conditional ? options.label_drop : 0.0, .null_label = classes};
}

Objective make_objective(const ModelOptions& options, std::shared_ptr<const DeviceImages> images,
                         const Process& process) {
  const LabelDrop drop = label_drop(options, images->label_classes);
  return Objective(std::make_shared<NoisedData>(std::move(images), process), std::make_shared<ConditionalTarget>(),
                   parse_weighting(options.weighting), parse_noise_levels(options.levels, process), drop);
}

TrainerOptions trainer_options(const OptimisationOptions& options, std::uint64_t seed) {
  TrainerOptions trainer;
  trainer.steps = options.steps;
  trainer.batch = options.batch;
  trainer.micro_batch = options.micro_batch;
  trainer.graph = options.graph;
  trainer.seed = seed;
  trainer.log_every = options.log_every;
  trainer.held_out_batch = options.held_out;
  trainer.optimizer.learning_rate = {.base = options.learning_rate,
                                     .warmup = options.warmup,
                                     .schedule = parse_schedule(options.schedule),
                                     .total = options.schedule == "cosine" ? options.steps : 0};
  trainer.optimizer.beta2 = options.beta2;
  trainer.optimizer.weight_decay = options.weight_decay;
  trainer.optimizer.clip_norm = options.clip;
  trainer.optimizer.average_decay = options.average_decay;
  return trainer;
}

}  // namespace tweedie::experiments
