#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "diffusion/network_score.h"
#include "nn/checkpoint.h"

namespace tweedie {

// A trained score model is a folder: config.json and the weights as diffusers writes them (nn/checkpoint.h), and
// tweedie.json with what they do not say: the process, what the network's output means, and the images it was made for.

struct CheckpointInfo {
  Process process = Process::linear();
  Parameterisation parameterisation;
  std::int64_t height = 0, width = 0, channels = 0;  // of the images
  std::int64_t step = 0;                             // of training
  std::string data_name;
  std::optional<std::int64_t> null_label = {};  // the label that stands for no class
};

/// True where the folder has a tweedie.json; without one it is a bare network, to be queried with timesteps.
bool has_checkpoint_info(const std::filesystem::path& folder);
/// Throws Error naming the file and the field that is missing or wrong.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& folder);

/// Writes a model with raw and averaged weights (`average` in the order of parameters(); empty: raw only) into a folder
/// that exists. Process, parameterisation and null label of `info` are those of the model.
void save_checkpoint(const std::filesystem::path& folder, const NetworkScore& model, std::span<const Parameter> average,
                     CheckpointInfo info);

/// Throws Error naming the file that is missing or does not fit.
std::unique_ptr<NetworkScore> load_checkpoint(const std::filesystem::path& folder, WeightKind kind, Device device = {});
/// The averaged weights where the folder has them, else the raw ones.
WeightKind preferred_weights(const std::filesystem::path& folder);

}  // namespace tweedie
