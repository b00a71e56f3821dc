#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/dit_blocks.h"
#include "nn/network.h"

namespace tweedie {

/// A diffusion transformer, by the names that the DiT code gives its arguments (Peebles and Xie 2023,
/// facebookresearch/DiT, and SiT, Ma et al. 2024).
struct DiTConfig {
  std::int64_t input_size = 32;  // height and width of the pictures
  std::int64_t patch_size = 2;
  std::int64_t in_channels = 4;
  std::int64_t hidden_size = 1152;
  std::int64_t depth = 28;
  std::int64_t num_heads = 16;
  double mlp_ratio = 4.0;
  double class_dropout_prob = 0.1;  // above 0: the label table has one more row, the null class
  std::int64_t num_classes = 1000;  // 0: not conditioned on classes
  bool learn_sigma = true;          // twice as many output channels, of which the second half is not used
  bool operator==(const DiTConfig&) const = default;

  static DiTConfig from_json(std::string_view text, std::string_view origin = "config.json");
  std::string to_json() const;
  void validate(std::string_view origin = "DiT") const;

  /// "dit-xxs", "dit-xs" (widths 64 and 128, depths 4 and 6, heads of 32), and DiT's own "dit-s", "dit-b", "dit-l",
  /// "dit-xl", each followed by "/" and the patch's side: "dit-s/2". One output channel for each input channel, no
  /// classes. Throws UsageError for another name.
  static DiTConfig preset(std::string_view name, std::int64_t input_size, std::int64_t channels = 1);
  static std::vector<std::string> preset_names();
};

/// The transformer of the DiT code: the same parameters under the same names (x_embedder.proj, pos_embed,
/// t_embedder.mlp.0, y_embedder.embedding_table, blocks.i.attn.qkv, ..., final_layer.linear) and, for the same values,
/// the same outputs; it starts as theirs does (adaLN-Zero: the first output is 0). Channels last. `timesteps` go to the
/// time embedding unchanged.
class DiT : public Network {
 public:
  explicit DiT(const DiTConfig& config, Device device = {}, std::uint64_t seed = 0);

  std::string config() const override { return config_.to_json(); }
  std::int64_t label_classes() const override;
  std::optional<std::int64_t> null_label() const override;
  std::int64_t in_channels() const override { return config_.in_channels; }
  std::int64_t out_channels() const override { return config_.in_channels; }
  double flops(const Shape& x) const override;
  /// "blocks.i": the tokens (N, (input_size / patch_size)^2, hidden_size) after each block, rows of patches first.
  std::vector<std::string> tap_names() const override;

 protected:
  /// x (N, input_size, input_size, in_channels), timesteps (N), labels int64 (N) where there are classes; x's shape.
  Tensor evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) override;

 private:
  void check_input(const Tensor& x, const Tensor& timesteps, const Tensor& labels) const;
  /// Tokens (N, T, patch^2 C) to pictures (N, H, W, C).
  Tensor unpatchify(const Tensor& tokens) const;
  std::int64_t side() const { return config_.input_size / config_.patch_size; }

  DiTConfig config_;
  Tensor pos_embed_;
  const PatchEmbedding* x_embedder_ = nullptr;
  const TimestepEmbedder* t_embedder_ = nullptr;
  const LabelEmbedder* y_embedder_ = nullptr;
  std::vector<const DiTBlock*> blocks_;
  const FinalLayer* final_layer_ = nullptr;
};

/// Fixed sine and cosine features of the positions of a side x side grid, (side^2, channels) row by row: the first half
/// of the channels encodes the column, the second the row, each as sines then cosines of position / 10000^(2 k /
/// (channels/2)).
std::vector<float> grid_position_embedding(std::int64_t side, std::int64_t channels);

}  // namespace tweedie
