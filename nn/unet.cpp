#include "nn/unet.h"

#include <algorithm>

#include "autograd/ops/activation.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"

namespace tweedie {
namespace {

TimeEmbeddingKind time_embedding_kind(const UNetConfig& config) {
  if (config.time_embedding_type == "fourier") return TimeEmbeddingKind::fourier;
  if (config.time_embedding_type == "learned") return TimeEmbeddingKind::learned;
  return TimeEmbeddingKind::sinusoidal;
}

ActivationKind activation_kind(const UNetConfig& config) {
  if (config.act_fn == "gelu") return ActivationKind::gelu;
  if (config.act_fn == "relu") return ActivationKind::relu;
  return ActivationKind::silu;
}

bool has_attention(const std::string& block_type) {
  return block_type.find("Attn") != std::string::npos;
}

}  // namespace

UNet::UNet(const UNetConfig& config, Device device, std::uint64_t seed, std::string config_text)
    : Network(device),
      config_(config),
      config_text_(config_text.empty() ? config.to_json() : std::move(config_text)),
      embedding_channels_(0) {
  config.validate();
  const Scope scope{device, seed, ""};
  const std::int64_t width = config.block_out_channels.front();
  embedding_channels_ = config.time_embedding_dim.value_or(4 * width);

  conv_in_ = &register_module("conv_in", same_convolution(scope.in("conv_in"), config.in_channels, width, 3));
  time_proj_ = &register_module(
      "time_proj",
      std::make_unique<TimeProjection>(scope.in("time_proj"),
                                       TimeProjectionOptions{.kind = time_embedding_kind(config),
                                                             .channels = width,
                                                             .cos_first = config.flip_sin_to_cos,
                                                             .frequency_shift = static_cast<double>(config.freq_shift),
                                                             .table_entries = config.num_train_timesteps.value_or(0)}));
  const auto embedding_mlp = [&](const char* name) {
    return &register_module(
        name, std::make_unique<EmbeddingMlp>(scope.in(name), time_proj_->out_channels(), embedding_channels_));
  };
  time_embedding_ = embedding_mlp("time_embedding");
  if (config.class_embed_type == "timestep") {
    class_mlp_ = embedding_mlp("class_embedding");
  } else if (!config.class_embed_type && config.num_class_embeds) {
    class_table_ = &register_module(
        "class_embedding",
        std::make_unique<Embedding>(scope.in("class_embedding"), *config.num_class_embeds, embedding_channels_));
  }

  const ResidualBlockOptions residual{.embedding_channels = embedding_channels_,
                                      .groups = config.norm_num_groups,
                                      .epsilon = config.norm_eps,
                                      .activation = activation_kind(config),
                                      .scale_shift = config.resnet_time_scale_shift == "scale_shift",
                                      .dropout = config.dropout};
  build_down(scope, residual);
  if (config.mid_block_type) build_mid(scope, residual);
  build_up(scope, residual);

  conv_norm_out_ = &register_module(
      "conv_norm_out",
      std::make_unique<GroupNorm>(scope.in("conv_norm_out"), config.norm_num_groups, width, config.norm_eps));
  conv_out_ = &register_module("conv_out", same_convolution(scope.in("conv_out"), width, config.out_channels, 3));
}

void UNet::build_down(const Scope& scope, const ResidualBlockOptions& residual) {
  const auto& widths = config_.block_out_channels;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    LevelBlock::Options options{.direction = Resampling::down, .channels = widths[i], .residual = residual};
    options.in_channels.assign(static_cast<std::size_t>(config_.layers_per_block), widths[i]);
    options.in_channels.front() = widths[i == 0 ? 0 : i - 1];
    options.resample = i + 1 < widths.size();
    options.downsample_padding = config_.downsample_padding;
    if (has_attention(config_.down_block_types[i])) {
      options.head_dim = config_.attention_head_dim.value_or(widths[i]);
      options.resample_by_residual_block = config_.downsample_type == "resnet";
    }
    const std::string name = "down_blocks." + std::to_string(i);
    down_blocks_.push_back(&register_module(name, std::make_unique<LevelBlock>(scope.in(name), options)));
  }
}

void UNet::build_mid(const Scope& scope, const ResidualBlockOptions& residual) {
  const std::int64_t channels = config_.block_out_channels.back();
  ResidualBlockOptions scaled = residual;
  scaled.output_scale = config_.mid_block_scale_factor;
  std::optional<SelfAttention::Options> attention;
  if (config_.add_attention) {
    attention = SelfAttention::Options{.channels = channels,
                                       .head_dim = config_.attention_head_dim.value_or(channels),
                                       .groups = config_.attn_norm_num_groups,
                                       .epsilon = config_.norm_eps,
                                       .output_scale = config_.mid_block_scale_factor};
    // Without a group count of its own it has a norm only where the time embedding is added, not where it modulates.
    if (!attention->groups && !residual.scale_shift) attention->groups = config_.norm_num_groups;
  }
  mid_block_ =
      &register_module("mid_block", std::make_unique<MidBlock>(scope.in("mid_block"), channels, scaled, attention));
}

void UNet::build_up(const Scope& scope, const ResidualBlockOptions& residual) {
  const std::vector<std::int64_t> widths(config_.block_out_channels.rbegin(), config_.block_out_channels.rend());
  for (std::size_t i = 0; i < widths.size(); ++i) {
    LevelBlock::Options options{.direction = Resampling::up, .channels = widths[i], .residual = residual};
    // Each residual block takes what came before it and a skip: the level's own, in the last one that of the level
    // above.
    const std::int64_t previous = widths[i == 0 ? 0 : i - 1], above = widths[std::min(i + 1, widths.size() - 1)];
    options.in_channels.assign(static_cast<std::size_t>(config_.layers_per_block) + 1, 2 * widths[i]);
    options.in_channels.front() += previous - widths[i];
    options.in_channels.back() += above - widths[i];
    options.resample = i + 1 < widths.size();
    if (has_attention(config_.up_block_types[i])) {
      options.head_dim = config_.attention_head_dim.value_or(widths[i]);
      options.resample_by_residual_block = config_.upsample_type == "resnet";
    }
    const std::string name = "up_blocks." + std::to_string(i);
    up_blocks_.push_back(&register_module(name, std::make_unique<LevelBlock>(scope.in(name), options)));
  }
}

void UNet::check_input(const Tensor& x, const Tensor& timesteps) const {
  const std::int64_t unit = std::int64_t{1} << (config_.block_out_channels.size() - 1);
  require(x.defined() && x.rank() == 4 && x.size(3) == config_.in_channels && x.size(1) % unit == 0 &&
              x.size(2) % unit == 0,
          "UNet: the input has shape {}, expected (N, H, W, {}) with H and W multiples of {}", x.shape(),
          config_.in_channels, unit);
  require(timesteps.defined() && timesteps.shape() == Shape({x.size(0)}),
          "UNet: timesteps have shape {}, expected ({}), one a sample", timesteps.shape(), x.size(0));
}

Tensor UNet::class_embedding_of(const Tensor& labels, std::int64_t count) const {
  const bool conditional = class_table_ != nullptr || config_.class_embed_type.has_value();
  require(
      labels.defined() == conditional, "UNet: class labels are {}",
      conditional ? "missing; this network is conditioned on them" : "given; this network is not conditioned on any");
  if (!conditional) return {};
  if (config_.class_embed_type == "identity") {
    require(
        labels.shape() == Shape({count, embedding_channels_}),
        "UNet: class labels have shape {}, expected ({}, {}): with class_embed_type \"identity\" they are embeddings",
        labels.shape(), count, embedding_channels_);
    return labels;
  }
  require(labels.shape() == Shape({count}), "UNet: class labels have shape {}, expected ({})", labels.shape(), count);
  if (class_mlp_ != nullptr) return (*class_mlp_)((*time_proj_)(floating_values(labels)));
  return (*class_table_)(whole_numbers(labels, "class labels"));
}

Tensor UNet::embedding_of(const Tensor& timesteps, const Tensor& labels) const {
  const Tensor embedding = (*time_embedding_)((*time_proj_)(timesteps));
  const Tensor classes = class_embedding_of(labels, timesteps.count());
  return classes.defined() ? add(embedding, classes) : embedding;
}

Tensor UNet::evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) {
  check_input(x, timesteps);
  const Tensor times = floating_values(timesteps);
  const Tensor embedding = embedding_of(times, labels);
  tap(context, "time_embedding", embedding);
  const Tensor activated = activation(embedding, activation_kind(config_));

  Tensor h = (*conv_in_)(config_.center_input_sample ? scale(x, 2.0, -1.0) : x);
  tap(context, "conv_in", h);
  std::vector<Tensor> skips = {h};
  for (std::size_t i = 0; i < down_blocks_.size(); ++i) {
    h = (*down_blocks_[i])(h, activated, skips, context);
    tap(context, "down_blocks." + std::to_string(i), h);
  }
  if (mid_block_ != nullptr) {
    h = (*mid_block_)(h, activated, context);
    tap(context, "mid_block", h);
  }
  for (std::size_t i = 0; i < up_blocks_.size(); ++i) {
    h = (*up_blocks_[i])(h, activated, skips, context);
    tap(context, "up_blocks." + std::to_string(i), h);
  }
  h = (*conv_out_)((*conv_norm_out_)(h, {.silu = true}));
  if (config_.time_embedding_type != "fourier") return h;
  return divide(as_dtype(h, times.dtype()), with_shape(times, {times.count(), 1, 1, 1}));
}

std::int64_t UNet::label_classes() const {
  return class_table_ != nullptr ? *config_.num_class_embeds : 0;
}

double UNet::flops(const Shape& x) const {
  require(x.rank() == 4, "UNet: flops of an input of shape {}, expected (N, H, W, C)", x);
  std::int64_t height = x[1], width = x[2];
  double total = conv_in_->flops(height, width) + conv_out_->flops(height, width) + time_embedding_->flops(1) +
                 (class_mlp_ != nullptr ? class_mlp_->flops(1) : 0.0);
  for (const LevelBlock* block : down_blocks_) total += block->flops(height, width);
  if (mid_block_ != nullptr) total += mid_block_->flops(height, width);
  for (const LevelBlock* block : up_blocks_) total += block->flops(height, width);
  return total * static_cast<double>(x[0]);
}

std::vector<std::string> UNet::tap_names() const {
  std::vector<std::string> names = {"time_embedding", "conv_in"};
  for (std::size_t i = 0; i < down_blocks_.size(); ++i) names.push_back("down_blocks." + std::to_string(i));
  if (mid_block_ != nullptr) names.push_back("mid_block");
  for (std::size_t i = 0; i < up_blocks_.size(); ++i) names.push_back("up_blocks." + std::to_string(i));
  return names;
}

}  // namespace tweedie
