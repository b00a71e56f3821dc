#pragma once

#include <optional>
#include <vector>

#include "autograd/ops/activation.h"
#include "nn/layers.h"

namespace tweedie {

enum class Resampling : std::uint8_t { none, down, up };

/// What all residual blocks of a U-Net share.
struct ResidualBlockOptions {
  std::int64_t embedding_channels = 0;
  std::int64_t groups = 1;
  double epsilon = 1e-5;
  ActivationKind activation = ActivationKind::silu;
  bool scale_shift = false;  // the embedding scales and shifts the second norm's output, else it is added before it
  double dropout = 0.0;
  double output_scale = 1.0;
};

/// Residual block of two 3x3 convolutions (diffusers' ResnetBlock2D; Ho et al. 2020, Dhariwal and Nichol 2021):
///   h = conv1(f(norm1(x))), e = time_emb_proj(f(embedding)),
///   h = norm2(h + e), or norm2(h) (1 + e_scale) + e_shift with (e_scale, e_shift) the halves of e,
///   y = (shortcut(x) + conv2(dropout(f(h)))) / output_scale,
/// shortcut a 1x1 convolution (conv_shortcut) where the channel counts differ. With resampling f(norm1(x)) and the
/// shortcut's x are pooled 2x2, or repeated 2x2, before they are convolved.
class ResidualBlock : public Module {
 public:
  ResidualBlock(const Scope& scope, std::int64_t in, std::int64_t out, const ResidualBlockOptions& options,
                Resampling resampling = Resampling::none);
  /// x (N, H, W, in); activated_embedding (N, embedding_channels) is f(embedding), which all blocks share.
  Tensor operator()(const Tensor& x, const Tensor& activated_embedding, const ForwardContext& context) const;
  /// Of one picture.
  double flops(std::int64_t height, std::int64_t width) const;

 private:
  Tensor normalised(const GroupNorm& norm, const Tensor& x, GroupNormOptions options) const;

  ResidualBlockOptions options_;
  Resampling resampling_;
  std::uint64_t dropout_place_;
  std::int64_t out_;
  const GroupNorm &norm1_, &norm2_;
  const Conv2d &conv1_, &conv2_;
  const Linear& time_emb_proj_;
  const Conv2d* conv_shortcut_ = nullptr;
};

/// One level of a U-Net on the way down or up (DownBlock2D, AttnDownBlock2D, UpBlock2D, AttnUpBlock2D): residual
/// blocks, each followed by attention where there is any, then a resampler except at the last level.
class LevelBlock : public Module {
 public:
  struct Options {
    Resampling direction = Resampling::down;
    std::vector<std::int64_t> in_channels = {};  // of each residual block
    std::int64_t channels = 0;
    ResidualBlockOptions residual;
    std::optional<std::int64_t> head_dim = {};  // none: no attention
    bool resample = true;
    bool resample_by_residual_block = false;
    std::int64_t downsample_padding = 1;
  };
  LevelBlock(const Scope& scope, const Options& options);

  /// On the way down: pushes every block's result, and the downsampler's, onto `skips`. On the way up: pops one before
  /// each block and appends its channels to x's.
  Tensor operator()(Tensor x, const Tensor& activated_embedding, std::vector<Tensor>& skips,
                    const ForwardContext& context) const;
  /// Of one picture; height and width become those of the result.
  double flops(std::int64_t& height, std::int64_t& width) const;

 private:
  Tensor resampled(const Tensor& x, const Tensor& activated_embedding, const ForwardContext& context) const;

  Options options_;
  std::vector<const ResidualBlock*> resnets_;
  std::vector<const SelfAttention*> attentions_;
  const Conv2d* resampling_convolution_ = nullptr;
  const ResidualBlock* resampling_block_ = nullptr;
};

/// UNetMidBlock2D: a residual block, attention where `attention` is given, a residual block.
class MidBlock : public Module {
 public:
  MidBlock(const Scope& scope, std::int64_t channels, const ResidualBlockOptions& residual,
           const std::optional<SelfAttention::Options>& attention);
  Tensor operator()(const Tensor& x, const Tensor& activated_embedding, const ForwardContext& context) const;
  double flops(std::int64_t height, std::int64_t width) const;

 private:
  const ResidualBlock *first_, *second_;
  const SelfAttention* attention_ = nullptr;
};

}  // namespace tweedie
