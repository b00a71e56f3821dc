#include "nn/unet_config.h"

#include "nn/config_fields.h"

namespace tweedie {
namespace {

using config_fields::json;

/// A field of UNetConfig with its name in config.json.
template <class Visitor, class Config>
void visit_fields(Config& config, Visitor&& visit) {
  visit("sample_size", config.sample_size);
  visit("in_channels", config.in_channels);
  visit("out_channels", config.out_channels);
  visit("center_input_sample", config.center_input_sample);
  visit("time_embedding_type", config.time_embedding_type);
  visit("time_embedding_dim", config.time_embedding_dim);
  visit("freq_shift", config.freq_shift);
  visit("flip_sin_to_cos", config.flip_sin_to_cos);
  visit("down_block_types", config.down_block_types);
  visit("mid_block_type", config.mid_block_type);
  visit("up_block_types", config.up_block_types);
  visit("block_out_channels", config.block_out_channels);
  visit("layers_per_block", config.layers_per_block);
  visit("mid_block_scale_factor", config.mid_block_scale_factor);
  visit("downsample_padding", config.downsample_padding);
  visit("downsample_type", config.downsample_type);
  visit("upsample_type", config.upsample_type);
  visit("dropout", config.dropout);
  visit("act_fn", config.act_fn);
  visit("attention_head_dim", config.attention_head_dim);
  visit("norm_num_groups", config.norm_num_groups);
  visit("attn_norm_num_groups", config.attn_norm_num_groups);
  visit("norm_eps", config.norm_eps);
  visit("resnet_time_scale_shift", config.resnet_time_scale_shift);
  visit("add_attention", config.add_attention);
  visit("class_embed_type", config.class_embed_type);
  visit("num_class_embeds", config.num_class_embeds);
  visit("num_train_timesteps", config.num_train_timesteps);
}

/// sample_size is null, a number or a pair.
bool read_sample_size(const json& from, std::vector<std::int64_t>& to) {
  to.clear();
  if (from.is_null()) return true;
  return from.is_array() ? config_fields::read(from, to) && to.size() == 2
                         : config_fields::read(from, to.emplace_back());
}

}  // namespace

UNetConfig UNetConfig::from_json(std::string_view text, std::string_view origin) {
  const json document = config_fields::parse(text, origin);
  UNetConfig config;
  std::vector<std::string> known;
  visit_fields(config, [&](const std::string& name, auto& field) {
    known.push_back(name);
    const auto found = document.find(name);
    if (found == document.end() || name == "sample_size") return;
    require(config_fields::read(*found, field), "{}: field {} is {}, expected {}", origin, name, found->dump(),
            config_fields::expected(field));
  });
  if (const auto found = document.find("sample_size"); found != document.end())
    require(read_sample_size(*found, config.sample_size),
            "{}: field sample_size is {}, expected a whole number, a pair of them or null", origin, found->dump());
  config_fields::require_known(origin, document, "UNet2DModel", known);
  config.validate(origin);
  return config;
}

std::string UNetConfig::to_json() const {
  json document = {{"_class_name", "UNet2DModel"}, {"_diffusers_version", "0.42.1"}};
  visit_fields(*this, [&](const char* name, const auto& field) { document[name] = config_fields::written(field); });
  if (sample_size.empty()) document["sample_size"] = nullptr;
  if (sample_size.size() == 1) document["sample_size"] = sample_size[0];
  return document.dump(2) + "\n";
}

void UNetConfig::validate(std::string_view origin) const {
  const auto supported = [&](std::string_view field, std::string_view value,
                             std::initializer_list<std::string_view> choices) {
    config_fields::require_choice(origin, field, value, choices);
  };
  const auto positive = [&](std::string_view field, std::int64_t value) {
    config_fields::require_count(origin, field, value);
  };
  supported("time_embedding_type", time_embedding_type, {"positional", "fourier", "learned"});
  for (const std::string& type : down_block_types)
    supported("down_block_types", type,
              {"DownBlock2D", "AttnDownBlock2D", "UNetResDownBlock2D", "UNetResAttnDownBlock2D"});
  for (const std::string& type : up_block_types)
    supported("up_block_types", type, {"UpBlock2D", "AttnUpBlock2D", "UNetResUpBlock2D", "UNetResAttnUpBlock2D"});
  if (mid_block_type) supported("mid_block_type", *mid_block_type, {"UNetMidBlock2D"});
  supported("downsample_type", downsample_type, {"conv", "resnet"});
  supported("upsample_type", upsample_type, {"conv", "resnet"});
  supported("act_fn", act_fn, {"silu", "swish", "gelu", "relu"});
  supported("resnet_time_scale_shift", resnet_time_scale_shift, {"default", "scale_shift"});
  if (class_embed_type) supported("class_embed_type", *class_embed_type, {"timestep", "identity"});

  require(!block_out_channels.empty() && block_out_channels.size() <= 16,
          "{}: field block_out_channels has {} entries, expected 1 to 16", origin, block_out_channels.size());
  require(down_block_types.size() == block_out_channels.size() && up_block_types.size() == block_out_channels.size(),
          "{}: {} down_block_types, {} up_block_types and {} block_out_channels; they must be equally many", origin,
          down_block_types.size(), up_block_types.size(), block_out_channels.size());
  for (const std::int64_t channels : block_out_channels) positive("block_out_channels", channels);
  positive("in_channels", in_channels);
  positive("out_channels", out_channels);
  positive("layers_per_block", layers_per_block);
  positive("norm_num_groups", norm_num_groups);
  if (attn_norm_num_groups) positive("attn_norm_num_groups", *attn_norm_num_groups);
  if (attention_head_dim) positive("attention_head_dim", *attention_head_dim);
  if (num_class_embeds) positive("num_class_embeds", *num_class_embeds);
  if (time_embedding_dim) positive("time_embedding_dim", *time_embedding_dim);
  if (num_train_timesteps) positive("num_train_timesteps", *num_train_timesteps);
  require(time_embedding_type != "learned" || num_train_timesteps.has_value(),
          "{}: time_embedding_type \"learned\" needs the field num_train_timesteps", origin);
  require(downsample_padding == 0 || downsample_padding == 1,
          "{}: field downsample_padding has the unsupported value {}; supported: 0, 1", origin, downsample_padding);
  require(dropout >= 0.0 && dropout < 1.0, "{}: field dropout is {}, expected at least 0 and below 1", origin, dropout);
  require(norm_eps >= 0.0, "{}: field norm_eps is {}, expected at least 0", origin, norm_eps);
  require(mid_block_scale_factor > 0.0, "{}: field mid_block_scale_factor is {}, expected a positive number", origin,
          mid_block_scale_factor);
}

std::vector<std::string> UNetConfig::preset_names() {
  return {"unet-xs", "unet-s", "unet-m", "unet-conv-xs", "unet-conv-s", "unet-conv-m", "ddpm-cifar10"};
}

UNetConfig UNetConfig::preset(std::string_view name, std::int64_t channels) {
  UNetConfig config;
  config.in_channels = config.out_channels = channels;
  if (name == "ddpm-cifar10") {
    config.in_channels = config.out_channels = 3;
    config.sample_size = {32};
    config.block_out_channels = {128, 256, 256, 256};
    config.down_block_types = {"DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"};
    config.up_block_types = {"UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
    config.attention_head_dim.reset();
    config.downsample_padding = 0;
    config.flip_sin_to_cos = false;
    config.freq_shift = 1;
    config.norm_eps = 1e-6;
    config.norm_num_groups = 32;
    return config;
  }
  constexpr std::string_view convolutional = "unet-conv-";
  const bool attention = !name.starts_with(convolutional);
  const std::string_view size = name.substr(attention ? std::min(name.size(), std::size_t{5}) : convolutional.size());
  std::int64_t width = 0;
  if (size == "xs") width = 16;
  if (size == "s") width = 32;
  if (size == "m") width = 64;
  if (!name.starts_with("unet-")) width = 0;
  if (width == 0) {
    std::string list;
    for (const std::string& known : preset_names()) list += (list.empty() ? "" : ", ") + known;
    throw UsageError(fmt::format("unknown network preset \"{}\"; known: {}", name, list));
  }
  config.block_out_channels = {width, 2 * width, 2 * width};
  config.down_block_types = {"DownBlock2D", "DownBlock2D", attention ? "AttnDownBlock2D" : "DownBlock2D"};
  config.up_block_types = {attention ? "AttnUpBlock2D" : "UpBlock2D", "UpBlock2D", "UpBlock2D"};
  config.add_attention = attention;
  config.attention_head_dim = 32;
  config.norm_num_groups = 8;
  return config;
}

}  // namespace tweedie
