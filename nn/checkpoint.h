#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/network.h"

namespace tweedie {

// Checkpoints are folders as diffusers writes them: config.json, untouched, and weights in safetensors, named as the
// network's parameters are, convolutions in the order (O, I, kernel_h, kernel_w). The running average of the weights
// (EMA) lies in a second file of the same form, which diffusers loads with variant="ema".

enum class WeightKind : std::uint8_t { raw, average };

/// diffusion_pytorch_model.safetensors, diffusion_pytorch_model.ema.safetensors.
std::string weights_file_name(WeightKind kind);

/// Parameters as files hold them: `value`s (float32 on the host's side) under their names, convolutions reordered. Also
/// for gradients and optimiser moments, which have their parameters' shapes. Atomic.
void write_parameters(const std::filesystem::path& file, std::span<const Parameter> parameters,
                      const std::map<std::string, std::string>& metadata = {});

/// Fills `parameters`' values from a file of any floating type. The attention names of early diffusers releases
/// (query, key, value, proj_attn) are understood. Nothing is changed unless all fit: throws Error naming the file and
/// every tensor (ten at most) that is missing, unexpected or of another shape, with both shapes.
/// Returns the names that the file has for the parameters, in their order.
std::vector<std::string> read_parameters(const std::filesystem::path& file, std::span<const Parameter> parameters);

/// Builds the network that the text of a config.json describes, with initial values by `seed`. "_class_name" is
/// "UNet2DModel" (also where there is none), "DiT" or "Mlp"; throws Error naming `origin` for any other.
std::unique_ptr<Network> make_network(const std::string& config, Device device = {}, std::uint64_t seed = 0,
                                      std::string_view origin = "config.json");

/// Builds the network of a checkpoint and fills it. Throws Error naming the file that is missing or does not fit.
std::unique_ptr<Network> load_network(const std::filesystem::path& folder, WeightKind kind = WeightKind::raw,
                                      Device device = {});

/// Writes config.json and the weights of `kind` into `folder`, which must exist; each file appears whole or not at all.
void save_network(const std::filesystem::path& folder, const Network& network, WeightKind kind = WeightKind::raw);
/// The same with the averaged weights, say, in place of the network's own: `weights` under the parameters' names and in
/// their order.
void save_network(const std::filesystem::path& folder, const Network& network, std::span<const Parameter> weights,
                  WeightKind kind);

}  // namespace tweedie
