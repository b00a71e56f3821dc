#include "nn/unet_blocks.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"

namespace tweedie {

ResidualBlock::ResidualBlock(const Scope& scope, std::int64_t in, std::int64_t out, const ResidualBlockOptions& options,
                             Resampling resampling)
    : Module(scope.device),
      options_(options),
      resampling_(resampling),
      dropout_place_(hash_of(scope.path)),
      out_(out),
      norm1_(register_module("norm1",
                             std::make_unique<GroupNorm>(scope.in("norm1"), options.groups, in, options.epsilon))),
      norm2_(register_module("norm2",
                             std::make_unique<GroupNorm>(scope.in("norm2"), options.groups, out, options.epsilon))),
      conv1_(register_module("conv1", same_convolution(scope.in("conv1"), in, out, 3))),
      conv2_(register_module("conv2", same_convolution(scope.in("conv2"), out, out, 3))),
      time_emb_proj_(register_module("time_emb_proj",
                                     std::make_unique<Linear>(scope.in("time_emb_proj"), options.embedding_channels,
                                                              options.scale_shift ? 2 * out : out))) {
  if (in != out)
    conv_shortcut_ = &register_module("conv_shortcut", same_convolution(scope.in("conv_shortcut"), in, out, 1));
}

Tensor ResidualBlock::normalised(const GroupNorm& norm, const Tensor& x, GroupNormOptions options) const {
  options.silu = options_.activation == ActivationKind::silu;  // the one that the norm's kernel can apply itself
  const Tensor y = norm(x, options);
  return options.silu ? y : activation(y, options_.activation);
}

Tensor ResidualBlock::operator()(const Tensor& x, const Tensor& activated_embedding,
                                 const ForwardContext& context) const {
  Tensor shortcut = x;
  Tensor h = normalised(norm1_, x, {});
  if (resampling_ != Resampling::none) {
    const auto resample = [&](const Tensor& t) {
      return resampling_ == Resampling::down ? average_pool(t) : upsample_nearest(t);
    };
    h = resample(h);
    shortcut = resample(shortcut);
  }
  h = conv1_(h);

  const Tensor embedding = time_emb_proj_(activated_embedding);
  GroupNormOptions modulation;
  if (options_.scale_shift) {
    modulation.scale = slice(embedding, 1, 0, out_);
    modulation.shift = slice(embedding, 1, out_, out_);
  } else {
    modulation.input_shift = embedding;
  }
  h = normalised(norm2_, h, modulation);

  if (context.training && options_.dropout > 0.0) {
    require(context.samples.defined(), "dropout: the forward context has no sample streams");
    h = dropout(h, options_.dropout, context.samples, context.seed ^ dropout_place_, context.step);
  }
  if (conv_shortcut_ != nullptr) shortcut = (*conv_shortcut_)(shortcut);
  const Tensor y = conv2_(h, shortcut);
  return options_.output_scale == 1.0 ? y : scale(y, 1.0 / options_.output_scale);
}

double ResidualBlock::flops(std::int64_t height, std::int64_t width) const {
  if (resampling_ == Resampling::down) height /= 2, width /= 2;
  if (resampling_ == Resampling::up) height *= 2, width *= 2;
  return conv1_.flops(height, width) + conv2_.flops(height, width) + time_emb_proj_.flops(1) +
         (conv_shortcut_ != nullptr ? conv_shortcut_->flops(height, width) : 0.0);
}

LevelBlock::LevelBlock(const Scope& scope, const Options& options) : Module(scope.device), options_(options) {
  for (std::size_t i = 0; i < options.in_channels.size(); ++i) {
    const std::string name = "resnets." + std::to_string(i);
    resnets_.push_back(&register_module(name, std::make_unique<ResidualBlock>(scope.in(name), options.in_channels[i],
                                                                              options.channels, options.residual)));
    if (!options.head_dim) continue;
    const std::string attention = "attentions." + std::to_string(i);
    attentions_.push_back(&register_module(
        attention, std::make_unique<SelfAttention>(scope.in(attention),
                                                   SelfAttention::Options{.channels = options.channels,
                                                                          .head_dim = *options.head_dim,
                                                                          .groups = options.residual.groups,
                                                                          .epsilon = options.residual.epsilon})));
  }
  if (!options.resample) return;
  const bool down = options.direction == Resampling::down;
  const std::string name = down ? "downsamplers.0" : "upsamplers.0";
  const std::string convolution = name + ".conv";
  if (options.resample_by_residual_block) {
    resampling_block_ =
        &register_module(name, std::make_unique<ResidualBlock>(scope.in(name), options.channels, options.channels,
                                                               options.residual, options.direction));
  } else if (down) {
    const int before = static_cast<int>(options.downsample_padding);
    resampling_convolution_ = &register_module(
        convolution,
        std::make_unique<Conv2d>(
            scope.in(convolution), options.channels, options.channels, 3,
            Conv2dGeometry{.stride = 2, .pad_top = before, .pad_left = before, .pad_bottom = 1, .pad_right = 1}));
  } else {
    resampling_convolution_ =
        &register_module(convolution, same_convolution(scope.in(convolution), options.channels, options.channels, 3));
  }
}

Tensor LevelBlock::operator()(Tensor x, const Tensor& activated_embedding, std::vector<Tensor>& skips,
                              const ForwardContext& context) const {
  const bool down = options_.direction == Resampling::down;
  for (std::size_t i = 0; i < resnets_.size(); ++i) {
    if (!down) {
      x = concatenate({x, skips.back()}, 3);
      skips.pop_back();
    }
    x = (*resnets_[i])(x, activated_embedding, context);
    if (!attentions_.empty()) x = (*attentions_[i])(x);
    if (down) skips.push_back(x);
  }
  if (!options_.resample) return x;
  x = resampled(x, activated_embedding, context);
  if (down) skips.push_back(x);
  return x;
}

Tensor LevelBlock::resampled(const Tensor& x, const Tensor& activated_embedding, const ForwardContext& context) const {
  if (resampling_block_ != nullptr) return (*resampling_block_)(x, activated_embedding, context);
  return (*resampling_convolution_)(options_.direction == Resampling::down ? x : upsample_nearest(x));
}

double LevelBlock::flops(std::int64_t& height, std::int64_t& width) const {
  double total = 0.0;
  for (const ResidualBlock* resnet : resnets_) total += resnet->flops(height, width);
  for (const SelfAttention* attention : attentions_) total += attention->flops(static_cast<double>(height * width));
  if (!options_.resample) return total;
  if (resampling_block_ != nullptr) total += resampling_block_->flops(height, width);
  if (options_.direction == Resampling::up) {
    height *= 2, width *= 2;
    if (resampling_convolution_ != nullptr) total += resampling_convolution_->flops(height, width);
  } else {
    if (resampling_convolution_ != nullptr) total += resampling_convolution_->flops(height, width);
    height /= 2, width /= 2;
  }
  return total;
}

MidBlock::MidBlock(const Scope& scope, std::int64_t channels, const ResidualBlockOptions& residual,
                   const std::optional<SelfAttention::Options>& attention)
    : Module(scope.device) {
  const auto resnet = [&](const char* name) {
    return &register_module(name, std::make_unique<ResidualBlock>(scope.in(name), channels, channels, residual));
  };
  first_ = resnet("resnets.0");
  if (attention)
    attention_ =
        &register_module("attentions.0", std::make_unique<SelfAttention>(scope.in("attentions.0"), *attention));
  second_ = resnet("resnets.1");
}

Tensor MidBlock::operator()(const Tensor& x, const Tensor& activated_embedding, const ForwardContext& context) const {
  Tensor h = (*first_)(x, activated_embedding, context);
  if (attention_ != nullptr) h = (*attention_)(h);
  return (*second_)(h, activated_embedding, context);
}

double MidBlock::flops(std::int64_t height, std::int64_t width) const {
  return first_->flops(height, width) + second_->flops(height, width) +
         (attention_ != nullptr ? attention_->flops(static_cast<double>(height * width)) : 0.0);
}

}  // namespace tweedie
