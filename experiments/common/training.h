#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/trainer.h"
#include "experiments/common/network_spec.h"

namespace tweedie::experiments {

class CommandLine;
class Progress;
class RunFolder;
struct DataOptions;

/// What is trained: --network --process --view --weight --levels --conditional --label-drop.
struct ModelOptions {
  std::string network = "unet-s";
  std::string process = "linear";
  std::string view = "v";  // eps, x0, v, score: the network's raw output; or edm: its preconditioning
  std::string weighting = "raw";
  std::string levels = "uniform";
  bool conditional = false;
  double label_drop = 0.1;  // of a conditional network
};

/// How: --steps --batch --learning-rate ...
struct OptimisationOptions {
  std::int64_t steps = 20000;
  std::int64_t batch = 128;
  std::int64_t micro_batch = 0;
  bool graph = false;
  double learning_rate = 1e-3;
  std::int64_t warmup = 100;
  std::string schedule = "constant";
  double clip = 1.0;
  double weight_decay = 0.0;
  double beta2 = 0.999;
  double average_decay = 0.999;
  std::int64_t log_every = 50;
  std::int64_t checkpoint_every = 1000;
  std::int64_t held_out = 256;
};

void add_options(CommandLine& line, ModelOptions& options);
void add_options(CommandLine& line, OptimisationOptions& options);

/// The training and the test images that --data and its companions name. A data set without a test split gives none.
struct TrainingData {
  data::ImageSet train;
  std::optional<data::ImageSet> held_out;
};
TrainingData load_training_data(const DataOptions& options);

/// Images on a device, as sources and probes take them.
std::shared_ptr<const DeviceImages> on_device(const data::ImageSet& images, Device device);

/// A new network as a score model; `seed` gives the initial weights. Data spread for EDM preconditioning is measured.
std::unique_ptr<NetworkScore> make_model(const ModelOptions& options, const data::ImageSet& images, Device device,
                                         std::uint64_t seed);
/// Root mean square of the pixels about their mean image.
double data_spread(const data::ImageSet& images);

/// What --conditional and --label-drop ask for on images of so many classes.
LabelDrop label_drop(const ModelOptions& options, std::int64_t classes);
Objective make_objective(const ModelOptions& options, std::shared_ptr<const DeviceImages> images,
                         const Process& process);
TrainerOptions trainer_options(const OptimisationOptions& options, std::uint64_t seed);

/// States what the training will take (memory, disk, time, flops), lets the batch pass in pieces where the whole would
/// not fit into memory, and throws Error, before anything is done, where even one sample or the disk would not do.
/// `checkpoints` is how many the whole run writes; those before `steps_done`, where it goes on, are there already.
/// Returns the estimate.
TrainingEstimate prepare(Trainer& trainer, const std::filesystem::path& folder, std::int64_t checkpoints,
                         std::int64_t steps_done = 0);

/// One trained model of a run: its checkpoints lie in `folder`/step-00001000 and so on, its records in metrics.jsonl
/// carry `name`.
struct TrainingJob {
  std::string name;
  std::filesystem::path folder;
  CheckpointInfo images;  // height, width, channels and data name, for the checkpoints
};
/// The images part of a checkpoint's description.
CheckpointInfo describe(const data::ImageSet& images);
/// The newest whole checkpoint in a folder, with its step; an empty path where there is none.
std::pair<std::filesystem::path, std::int64_t> newest_checkpoint(const std::filesystem::path& folder,
                                                                 std::int64_t no_later_than = INT64_MAX);
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step);
/// Where look_along keeps its look at a step.
std::filesystem::path look_path(const std::filesystem::path& folder, std::int64_t step);

/// On resuming: takes the newest checkpoint up and cuts metrics.jsonl back to it. Returns the step.
std::int64_t take_up(Trainer& trainer, const TrainingJob& job, RunFolder& run);

/// Trains up to `until` with progress and records, writing checkpoints every `checkpoint_every` steps (0: none) and at
/// `until`. A stop that was asked for writes one and throws Interrupted.
void train(Trainer& trainer, const TrainingJob& job, std::int64_t until, std::int64_t checkpoint_every, RunFolder& run,
           Progress& progress);

/// Trains up to each of the rising `steps` in turn and keeps what `look` says of the model there beside the job's
/// checkpoints; a look that an earlier, interrupted run finished is read back, not taken again. Returns all looks. A
/// stop that was asked for throws Interrupted after a look.
std::vector<nlohmann::ordered_json> look_along(Trainer& trainer, const TrainingJob& job,
                                               std::span<const std::int64_t> steps, std::int64_t checkpoint_every,
                                               RunFolder& run, Progress& progress,
                                               const std::function<nlohmann::ordered_json(std::int64_t step)>& look);

}  // namespace tweedie::experiments
