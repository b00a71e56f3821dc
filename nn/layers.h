#pragma once

#include <optional>

#include "autograd/ops/convolution.h"
#include "autograd/ops/normalization.h"
#include "kernels/activation/activation.h"
#include "nn/module.h"
#include "nn/scope.h"

namespace tweedie {

// Layers start as PyTorch's do. Each names itself and its shapes when it is built wrongly; flops counts two for each
// multiply-add.

/// How a linear layer starts. `pytorch`: weight and bias uniform in 1/sqrt(in). The others have zero biases; xavier:
/// weight uniform in sqrt(6/(in + out)) (Glorot and Bengio 2010); narrow: weight normal with standard deviation 0.02;
/// zero.
enum class LinearStart : std::uint8_t { pytorch, xavier, narrow, zero };

/// x (..., in) to (..., out). Parameters: weight (out, in), bias (out).
class Linear : public Module {
 public:
  Linear(const Scope& scope, std::int64_t in, std::int64_t out, LinearStart start = LinearStart::pytorch);
  /// The residual, of the result's shape, is added in the same pass; it may be undefined.
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
  /// activation((*this)(x), kind), in one pass where no gradient is recorded.
  Tensor activated(const Tensor& x, ActivationKind kind) const;
  /// Of `rows` vectors.
  double flops(double rows) const { return 2.0 * rows * static_cast<double>(weight_.count()); }

 private:
  Tensor weight_, bias_;
};

/// x (N, H, W, in) to (N, OH, OW, out) with a square kernel. Parameters: weight (out, kernel, kernel, in) in memory, on
/// disk (out, in, kernel, kernel); bias (out).
class Conv2d : public Module {
 public:
  Conv2d(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2dGeometry& geometry);
  /// The residual, of the result's shape, is added in the same pass; it may be undefined.
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;
  /// Of one picture.
  double flops(std::int64_t height, std::int64_t width) const;

 private:
  Tensor weight_, bias_;
  Conv2dGeometry geometry_;
};

/// A convolution that keeps the picture's size: stride 1, padding kernel / 2 on all sides.
std::unique_ptr<Conv2d> same_convolution(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t kernel);

/// Over x (N, ..., channels). Parameters: weight and bias (channels).
class GroupNorm : public Module {
 public:
  GroupNorm(const Scope& scope, std::int64_t groups, std::int64_t channels, double epsilon);
  /// `options` adds the fused neighbours (silu, input_shift, scale, shift); its groups and epsilon are this layer's.
  Tensor operator()(const Tensor& x, GroupNormOptions options = {}) const;

 private:
  Tensor weight_, bias_;
  std::int64_t groups_;
  double epsilon_;
};

/// Over the last axis of x (N, T, channels) or (N, channels). Parameters: weight and bias (channels), or none.
class LayerNorm : public Module {
 public:
  LayerNorm(const Scope& scope, std::int64_t channels, double epsilon, bool affine = true);
  Tensor operator()(const Tensor& x, LayerNormOptions options = {}) const;

 private:
  Tensor weight_, bias_;
  double epsilon_;
};

/// Indices int64 (N) to (N, channels). Parameter: weight (count, channels), normal at the start.
class Embedding : public Module {
 public:
  Embedding(const Scope& scope, std::int64_t count, std::int64_t channels, double standard_deviation = 1.0);
  Tensor operator()(const Tensor& indices) const;

 private:
  Tensor weight_;
};

/// Self-attention over the positions of x (N, H, W, channels) with a residual connection, as diffusers' U-Nets have it:
/// y = (x + to_out(attention(to_q h, to_k h, to_v h))) / output_scale, h = group_norm(x), or x where there is no norm.
/// There are channels / head_dim heads; where head_dim does not divide channels the inner width is smaller.
/// Parameters: group_norm, to_q, to_k, to_v, to_out.0.
class SelfAttention : public Module {
 public:
  struct Options {
    std::int64_t channels = 0, head_dim = 0;
    std::optional<std::int64_t> groups = {};  // of the norm; none: no norm
    double epsilon = 1e-5;
    double output_scale = 1.0;
  };
  SelfAttention(const Scope& scope, const Options& options);
  Tensor operator()(const Tensor& x) const;
  /// Of one picture of so many positions.
  double flops(double positions) const;

 private:
  Options options_;
  std::int64_t heads_;
  const GroupNorm* group_norm_ = nullptr;
  const Linear *to_q_, *to_k_, *to_v_, *to_out_;
};

}  // namespace tweedie
