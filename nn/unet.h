#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/network.h"
#include "nn/time_embedding.h"
#include "nn/unet_blocks.h"
#include "nn/unet_config.h"

namespace tweedie {

/// diffusers' UNet2DModel, channels last: the same parameters under the same names and, for the same values, the same
/// outputs. `timesteps` go to the time embedding unchanged; with time_embedding_type "fourier" they are noise levels
/// above 0, and the output is divided by them.
class UNet : public Network {
 public:
  /// `config_text`, where given, is the config.json that `config` was read from, and is what config() returns.
  /// Throws Error naming the field or the layer that cannot be built.
  explicit UNet(const UNetConfig& config, Device device = {}, std::uint64_t seed = 0, std::string config_text = {});

  std::string config() const override { return config_text_; }
  std::int64_t label_classes() const override;
  std::int64_t in_channels() const override { return config_.in_channels; }
  std::int64_t out_channels() const override { return config_.out_channels; }
  double flops(const Shape& x) const override;
  /// "time_embedding" (N, channels), "conv_in", "down_blocks.i", "mid_block" and "up_blocks.i" (N, H, W, C).
  std::vector<std::string> tap_names() const override;
  const UNetConfig& settings() const { return config_; }

 protected:
  /// x (N, H, W, in_channels), H and W multiples of 2^(levels - 1); timesteps (N). labels: int64 (N) for a class
  /// embedding, (N) for class_embed_type "timestep", (N, time embedding's channels) for "identity", else undefined.
  Tensor evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) override;

 private:
  void build_down(const Scope& scope, const ResidualBlockOptions& residual);
  void build_mid(const Scope& scope, const ResidualBlockOptions& residual);
  void build_up(const Scope& scope, const ResidualBlockOptions& residual);
  void check_input(const Tensor& x, const Tensor& timesteps) const;
  Tensor embedding_of(const Tensor& timesteps, const Tensor& labels) const;
  Tensor class_embedding_of(const Tensor& labels, std::int64_t count) const;

  UNetConfig config_;
  std::string config_text_;
  std::int64_t embedding_channels_;
  const Conv2d* conv_in_ = nullptr;
  const TimeProjection* time_proj_ = nullptr;
  const EmbeddingMlp* time_embedding_ = nullptr;
  const Embedding* class_table_ = nullptr;
  const EmbeddingMlp* class_mlp_ = nullptr;
  std::vector<const LevelBlock*> down_blocks_, up_blocks_;
  const MidBlock* mid_block_ = nullptr;
  const GroupNorm* conv_norm_out_ = nullptr;
  const Conv2d* conv_out_ = nullptr;
};

}  // namespace tweedie
