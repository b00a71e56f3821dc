#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/checkpoint.h"

namespace tweedie::experiments {

class CommandLine;

/// Which model: --checkpoint --weights, and for a folder that diffusers wrote, which does not say what its network
/// answers: --process --view --time-input --sigma-data.
struct CheckpointOptions {
  std::string folder;
  std::string weights;     // "ema", "raw"; empty: the averaged ones where there are some
  std::string process;     // empty: as tweedie.json says
  std::string view;        // eps, x0, v, score or edm
  std::string time_input;  // empty: the usual one of the view
  double sigma_data = 0.5;
};

void add_options(CommandLine& line, CheckpointOptions& options);

/// A network with its weights and what is known about it.
struct OpenedCheckpoint {
  std::string folder;
  WeightKind weights = WeightKind::raw;
  std::shared_ptr<Network> network;
  std::vector<Parameter> parameters;  // the network's, under the names that the file has for them
  std::optional<Process> process;     // from tweedie.json or the options; none for a bare network
  std::optional<Parameterisation> parameterisation;
  std::optional<std::int64_t> null_label;  // from tweedie.json
  std::int64_t height = 0, width = 0;      // of its images; 0 where nothing says it

  /// Throws UsageError for a bare network, naming the options that say what it answers.
  NetworkScore score_model() const;
};

/// Throws UsageError where an option contradicts the folder's tweedie.json, Error for files that are missing or bad.
OpenedCheckpoint open_checkpoint(const CheckpointOptions& options, Device device);

}  // namespace tweedie::experiments
