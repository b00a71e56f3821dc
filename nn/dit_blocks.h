#pragma once

#include "nn/layers.h"

namespace tweedie {

// The parts of the diffusion transformer (nn/dit.h), named as in the DiT code.

/// x (N, H, W, in) to tokens (N, (H/patch)(W/patch), channels). Parameters: proj.weight (channels, patch, patch, in),
/// on disk (channels, in, patch, patch); proj.bias.
class PatchEmbedding : public Module {
 public:
  PatchEmbedding(const Scope& scope, std::int64_t in, std::int64_t channels, std::int64_t patch);
  Tensor operator()(const Tensor& x) const;
  double flops(double tokens) const { return 2.0 * tokens * static_cast<double>(weight_.count()); }

 private:
  Tensor weight_, bias_;
};

/// t (N) to (N, channels): mlp.2(silu(mlp.0(256 sinusoidal features, cosines first))).
class TimestepEmbedder : public Module {
 public:
  TimestepEmbedder(const Scope& scope, std::int64_t channels);
  Tensor operator()(const Tensor& t) const;
  double flops() const { return mlp_0_.flops(1) + mlp_2_.flops(1); }

 private:
  const Linear &mlp_0_, &mlp_2_;
};

/// Labels int64 (N) to (N, channels). Parameter: embedding_table.weight (rows, channels).
class LabelEmbedder : public Module {
 public:
  LabelEmbedder(const Scope& scope, std::int64_t rows, std::int64_t channels);
  Tensor operator()(const Tensor& labels) const { return embedding_table_(labels); }

 private:
  const Embedding& embedding_table_;
};

/// x + gate attn(modulated norm(x)), then x + gate mlp(modulated norm(x)); shifts, scales and gates are linear in
/// silu(c) and 0 at the start (adaLN-Zero). Parameters: attn.qkv, attn.proj, mlp.fc1, mlp.fc2, adaLN_modulation.1.
class DiTBlock : public Module {
 public:
  DiTBlock(const Scope& scope, std::int64_t channels, std::int64_t heads, std::int64_t mlp_channels);
  /// x (N, T, channels); `condition` is silu(c) (N, channels).
  Tensor operator()(const Tensor& x, const Tensor& condition) const;
  double flops(double tokens) const;

 private:
  Tensor attend(const Tensor& x) const;
  std::int64_t channels_, heads_;
  const LayerNorm &norm1_, &norm2_;
  const Linear &qkv_, &proj_, &fc1_, &fc2_, &modulation_;
};

/// linear(modulated norm(x)), 0 at the start. Parameters: linear, adaLN_modulation.1.
class FinalLayer : public Module {
 public:
  FinalLayer(const Scope& scope, std::int64_t channels, std::int64_t out);
  Tensor operator()(const Tensor& x, const Tensor& condition) const;
  double flops(double tokens) const { return linear_.flops(tokens) + modulation_.flops(1); }

 private:
  std::int64_t channels_;
  const LayerNorm& norm_final_;
  const Linear &linear_, &modulation_;
};

}  // namespace tweedie
