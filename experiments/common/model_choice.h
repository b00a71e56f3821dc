#pragma once

#include <memory>
#include <optional>
#include <string>

#include "diffusion/data/image_set.h"
#include "experiments/common/checkpoint_options.h"

namespace tweedie::experiments {

/// Whose score: --model, a closed form of the data that --data names, or --checkpoint, a network (hybrids take both).
struct ModelChoice {
  std::string closed_form;  // empty: the network alone
  CheckpointOptions checkpoint;
};
/// Those of CheckpointOptions too.
void add_options(CommandLine& line, ModelChoice& options);

struct ChosenModel {
  std::shared_ptr<ScoreModel> model;
  std::string name;                             // for people: the checkpoint's folder, or what --model says
  std::optional<OpenedCheckpoint> opened;       // of a network
  std::shared_ptr<NetworkScore> network;        // likewise
  std::int64_t height = 0, width = 0;           // 0 where nothing says it
  std::int64_t channels = 0, out_channels = 0;  // of states and of answers
  std::int64_t classes = 0;                     // it may be asked for [0, classes)
  std::optional<std::int64_t> null_label;       // the label that stands for no class
  bool needs_labels = false;                    // a network by class; a closed form does without
  double t_start = 0.0;                         // where sampling begins
};
/// `images` are those of --data, or null without it. Throws UsageError where neither or too much is named, and where
/// the closed form lacks its data.
ChosenModel choose_model(const ModelChoice& options, const data::ImageSet* images, std::uint64_t seed, Device device);

}  // namespace tweedie::experiments
