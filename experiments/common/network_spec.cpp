#include "experiments/common/network_spec.h"

#include <charconv>
#include <string_view>

#include "nn/dit.h"
#include "nn/io/file.h"
#include "nn/mlp.h"
#include "nn/unet_config.h"

namespace tweedie::experiments {
namespace {

/// A spec "KIND:SIZES" whose sizes are read from left to right.
class SizeReader {
 public:
  SizeReader(const std::string& spec, std::string_view kind)
      : spec_(spec), rest_(std::string_view(spec).substr(kind.size())) {}
  std::int64_t number() {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < 1) refuse();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }
  /// The number after `mark`, or `absent` where the mark does not come next.
  std::int64_t number_after(char mark, std::int64_t absent) { return skip(mark) ? number() : absent; }
  std::string word_after(char mark, std::string absent) {
    if (!skip(mark)) return absent;
    return std::string(std::exchange(rest_, {}));
  }
  void end() const {
    if (!rest_.empty()) refuse();
  }

 private:
  bool skip(char mark) {
    if (!rest_.starts_with(mark)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  [[noreturn]] void refuse() const {
    throw UsageError(
        fmt::format("network '{}': expected sizes as in unet:16x1, dit:64x4/2, mlp:256x3 or mlp:256x3:relu", spec_));
  }
  const std::string& spec_;
  std::string_view rest_;
};

/// The largest of 8, 4, 2, 1 groups that divides the channels with at least two channels a group.
std::int64_t norm_groups(std::int64_t channels) {
  for (const std::int64_t groups : {8, 4, 2})
    if (channels % groups == 0 && channels / groups >= 2) return groups;
  return 1;
}

UNetConfig sized_unet(const std::string& spec, std::string_view kind, std::int64_t channels) {
  SizeReader sizes(spec, kind);
  const std::int64_t base = sizes.number(), blocks = sizes.number_after('x', 2);
  sizes.end();
  UNetConfig config = UNetConfig::preset(kind == "unet:" ? "unet-s" : "unet-conv-s", channels);
  config.block_out_channels = {base, 2 * base, 2 * base};
  config.layers_per_block = blocks;
  config.norm_num_groups = norm_groups(base);
  if (config.attention_head_dim && 2 * base % *config.attention_head_dim != 0) config.attention_head_dim = 2 * base;
  return config;
}

std::string unet_config(const std::string& spec, const data::ImageSet& images, std::int64_t labels) {
  UNetConfig config = spec.starts_with("unet:")        ? sized_unet(spec, "unet:", images.channels)
                      : spec.starts_with("unet-conv:") ? sized_unet(spec, "unet-conv:", images.channels)
                                                       : UNetConfig::preset(spec, images.channels);
  config.sample_size = {images.height, images.width};
  if (labels > 0) config.num_class_embeds = labels;
  const std::int64_t factor = std::int64_t{1} << (config.block_out_channels.size() - 1);
  if (images.height % factor != 0 || images.width % factor != 0)
    throw UsageError(
        fmt::format("network '{}' halves pictures {} times, so their sides must be multiples of {}; the "
                    "data have {} x {}: give --resolution",
                    spec, config.block_out_channels.size() - 1, factor, images.height, images.width));
  return config.to_json();
}

std::string mlp_config(const std::string& spec, std::string_view kind, const data::ImageSet& images,
                       std::int64_t labels) {
  SizeReader sizes(spec, kind);
  MlpConfig config;
  config.height = images.height;
  config.width = images.width;
  config.channels = images.channels;
  config.hidden_width = sizes.number();
  config.hidden_layers = sizes.number_after('x', 3);
  config.activation = sizes.word_after(':', config.activation);
  sizes.end();
  config.num_class_embeds = labels;
  config.radial = kind.starts_with("radial");
  return config.to_json();
}

std::string dit_config(const std::string& spec, const data::ImageSet& images, const Conditioning& conditioning) {
  if (images.height != images.width)
    throw UsageError(fmt::format("network '{}' takes square pictures; the data have {} x {}: give --resolution", spec,
                                 images.height, images.width));
  DiTConfig config;
  if (spec.starts_with("dit:")) {
    SizeReader sizes(spec, "dit:");
    config = DiTConfig::preset("dit-xs/1", images.height, images.channels);
    config.hidden_size = sizes.number();
    config.depth = sizes.number_after('x', 4);
    config.patch_size = sizes.number_after('/', 2);
    sizes.end();
    config.num_heads = config.hidden_size % 32 == 0 ? config.hidden_size / 32 : 1;
  } else {
    config = DiTConfig::preset(spec, images.height, images.channels);
  }
  if (images.height % config.patch_size != 0)
    throw UsageError(fmt::format("network '{}': pictures of {} x {} are no whole patches of {}: give --resolution",
                                 spec, images.height, images.width, config.patch_size));
  config.num_classes = conditioning.on_classes ? images.classes : 0;
  config.class_dropout_prob = conditioning.label_drop;
  return config.to_json();
}

}  // namespace

std::string network_config(const std::string& spec, const data::ImageSet& images, const Conditioning& conditioning) {
  if (conditioning.on_classes && images.classes == 0)
    throw UsageError(fmt::format("--conditional: the data '{}' have no labels", images.name));
  if (spec.ends_with(".json")) return io::read_text(spec);
  const std::int64_t labels = conditioning.on_classes ? images.classes + (conditioning.label_drop > 0.0 ? 1 : 0) : 0;
  for (const std::string_view kind : {"mlp:", "radial-mlp:"})
    if (spec.starts_with(kind)) return mlp_config(spec, kind, images, labels);
  if (spec.starts_with("dit")) return dit_config(spec, images, conditioning);
  return unet_config(spec, images, labels);
}

std::string network_help() {
  return "unet-xs, unet-s, unet-m, unet:BASExBLOCKS (attention at the lowest level); unet-conv-xs, -s, -m, "
         "unet-conv:BASExBLOCKS (convolutions alone); dit-xxs/2, dit-xs/2, dit-s/2 ..., dit:WIDTHxDEPTH/PATCH "
         "(transformers); mlp:WIDTHxLAYERS[:silu|gelu|relu]; radial-mlp:WIDTHxLAYERS; ddpm-cifar10; or a config.json";
}

}  // namespace tweedie::experiments
