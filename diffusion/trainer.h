#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/alignment.h"
#include "diffusion/checkpoint.h"
#include "diffusion/level_statistics.h"
#include "diffusion/network_score.h"
#include "diffusion/objective.h"
#include "nn/optimizer.h"

namespace tweedie {

struct TrainerOptions {
  std::int64_t steps = 1000;
  std::int64_t batch = 64;
  std::int64_t micro_batch = 0;  // samples through the network at once; 0: the whole batch
  std::uint64_t seed = 0;
  Optimizer::Options optimizer;
  std::int64_t log_every = 50;
  std::int64_t held_out_batch = 0;  // samples of the held-out loss, taken at every log; 0: none
  /// Give each step to the device as one graph (Graph), from the draws to the norm of the gradients; the update follows
  /// once loss and norm are known to be finite. The same numbers as without. Targets that are made on the host cannot.
  bool graph = false;
};

/// What a run tells of itself at a step.
struct TrainingLog {
  std::int64_t step = 0;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  // of the last step, before clipping
  LevelStatistics::Bin loss;   // weighted loss a sample since the last log
  std::vector<LevelStatistics::Bin> loss_by_level;
  std::optional<LevelStatistics::Bin> held_out, held_out_average;  // raw and averaged weights
  std::vector<LevelStatistics::Bin> held_out_by_level;             // raw weights
  double flops = 0.0;  // of all training steps so far, by the operations' contracts
};

/// What training on this device will take, measured on two small batches.
struct TrainingEstimate {
  std::int64_t parameters = 0;
  double flops_per_step = 0.0;
  double seconds_per_step = 0.0;
  std::int64_t bytes_fixed = 0;       // weights, gradients, moments, averages
  std::int64_t bytes_per_sample = 0;  // activations
  std::int64_t checkpoint_bytes = 0;
};

/// Stochastic gradient descent of one objective. All randomness is keyed by (seed, step, index in the batch), so a run
/// that was stopped and resumed from a checkpoint equals an unbroken one bit for bit, and the split into micro-batches
/// changes only rounding.
class Trainer {
 public:
  /// `held_out`, optional, is the source of held-out states. `alignment`, optional, is an auxiliary term: it is trained
  /// along and takes part in gradients and their norm, not in the losses that are reported.
  Trainer(NetworkScore& model, Objective objective, std::shared_ptr<const InputSource> held_out,
          const TrainerOptions& options, std::shared_ptr<RepresentationAlignment> alignment = nullptr);

  struct Callbacks {
    std::function<void(const TrainingLog&)> log = {};
    /// After each step; returning false ends the run there.
    std::function<bool(std::int64_t step)> after_step = {};
  };
  /// Trains from the present step to `until` (at most options.steps). Throws Error at a loss or gradient that is not
  /// finite, naming the step and the first operation that made such a value; the weights are then those before it.
  void run(std::int64_t until, const Callbacks& callbacks);

  std::int64_t steps_done() const { return optimizer_.steps_done(); }
  double flops_done() const { return flops_; }
  const TrainerOptions& options() const { return options_; }
  /// Averaged weights of the network.
  std::vector<Parameter> average() const;
  NetworkScore& model() { return model_; }
  TrainingEstimate estimate();
  void set_micro_batch(std::int64_t samples) { options_.micro_batch = samples; }

  /// Stores everything a continuation needs into a new folder (written beside, then renamed): the model with raw and
  /// averaged weights (diffusion/checkpoint.h), optimizer.safetensors and trainer.json. `images` says what the model
  /// was trained on; its step is replaced by the present one.
  void save(const std::filesystem::path& folder, const CheckpointInfo& images) const;
  /// Takes up a run from such a folder. Throws Error where it does not fit this model or these options.
  void restore(const std::filesystem::path& folder);

 private:
  void write_state(const std::filesystem::path& folder, const CheckpointInfo& images) const;
  struct Losses {
    std::vector<double> t;
    Tensor weighted;  // of each sample, on the device
  };
  /// Gradients (unless held out) and losses of the draws [first, first + count) of a step. Waits for nothing.
  Losses pass(std::uint32_t step, std::int64_t first, std::int64_t count, const Objective& objective, bool held_out);
  void step_once();
  [[noreturn]] void explain_nonfinite(std::uint32_t step, double loss, double norm);
  LevelStatistics held_out_losses();
  TrainingLog make_log();

  /// The network's parameters, and the auxiliary term's under "alignment.".
  std::vector<Parameter> trained() const;
  void clear_gradients();

  NetworkScore& model_;
  std::shared_ptr<RepresentationAlignment> alignment_;
  Objective objective_;
  std::optional<Objective> held_out_;
  TrainerOptions options_;
  Optimizer optimizer_;
  LevelStatistics statistics_;
  std::unique_ptr<Graph> graph_;
  Optimizer::Step last_;
  double flops_ = 0.0;
};

}  // namespace tweedie
