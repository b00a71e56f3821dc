#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tweedie {

/// The fields of diffusers' UNet2DModel, under their names in config.json and with their defaults there (diffusers
/// 0.42). Fields and values of later or other models are named errors, never ignored.
struct UNetConfig {
  std::vector<std::int64_t> sample_size;  // none, one or two numbers: for information only
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  bool center_input_sample = false;                // the input is x in [0, 1] and becomes 2 x - 1
  std::string time_embedding_type = "positional";  // or "fourier", "learned"
  std::optional<std::int64_t> time_embedding_dim;  // 4 block_out_channels[0] unless given
  std::int64_t freq_shift = 0;                     // positional: see sinusoidal_embedding
  bool flip_sin_to_cos = true;                     // positional: cosines come first
  // An older "UNetRes" before a block's type is allowed and means nothing.
  std::vector<std::string> down_block_types = {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  std::optional<std::string> mid_block_type = "UNetMidBlock2D";  // or none
  std::vector<std::string> up_block_types = {"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
  std::vector<std::int64_t> block_out_channels = {224, 448, 672, 896};
  std::int64_t layers_per_block = 2;     // one more in each up block
  double mid_block_scale_factor = 1.0;   // the mid block's residual sums are divided by it
  std::int64_t downsample_padding = 1;   // 0: one row and column of zeros below and to the right
  std::string downsample_type = "conv";  // or "resnet"; of attention blocks, the others always have "conv"
  std::string upsample_type = "conv";
  double dropout = 0.0;
  std::string act_fn = "silu";                         // or "swish" (the same), "gelu", "relu"
  std::optional<std::int64_t> attention_head_dim = 8;  // channels a head; none: one head
  std::int64_t norm_num_groups = 32;
  std::optional<std::int64_t> attn_norm_num_groups;  // of the mid block's attention
  double norm_eps = 1e-5;
  std::string resnet_time_scale_shift = "default";  // or "scale_shift"
  bool add_attention = true;                        // in the mid block
  std::optional<std::string> class_embed_type;      // "timestep", "identity", or none
  std::optional<std::int64_t> num_class_embeds;     // rows of the class embedding where class_embed_type is none
  std::optional<std::int64_t> num_train_timesteps;  // rows of a learned time embedding

  bool operator==(const UNetConfig&) const = default;

  /// Reads config.json. Fields that are absent keep their defaults. Throws Error naming `origin` and the field that is
  /// unknown, of the wrong type or of an unsupported value.
  static UNetConfig from_json(std::string_view text, std::string_view origin = "config.json");
  /// Text that diffusers loads: every field, sorted, with _class_name and _diffusers_version.
  std::string to_json() const;
  /// Throws Error naming `origin` and the field unless a network can be built of this.
  void validate(std::string_view origin = "UNet") const;

  /// unet-xs, unet-s, unet-m: 16, 32, 64 channels times 1, 2, 2, two blocks a level, attention at the lowest level and
  /// in the mid block with heads of 32 channels, norms of 8 groups; `channels` in and out. unet-conv-xs, -s, -m: the
  /// same without any attention. ddpm-cifar10: the network of google/ddpm-cifar10-32 (Ho et al. 2020; 35.7 million
  /// parameters, 32 groups). Throws UsageError for another name.
  static UNetConfig preset(std::string_view name, std::int64_t channels = 1);
  static std::vector<std::string> preset_names();
};

}  // namespace tweedie
