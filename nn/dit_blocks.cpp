#include "nn/dit_blocks.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/shape.h"

namespace tweedie {
namespace {

constexpr std::int64_t time_features = 256;
constexpr double norm_epsilon = 1e-6;

/// The part `index` of x (N, parts * channels).
Tensor part(const Tensor& x, std::int64_t channels, std::int64_t index) {
  return slice(x, 1, index * channels, channels);
}

/// x + gate h: x, h (N, T, C), gate (N, C).
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& h) {
  return add(x, multiply(as_dtype(reshape(gate, {gate.size(0), 1, gate.size(1)}), h.dtype()), h));
}

}  // namespace

PatchEmbedding::PatchEmbedding(const Scope& scope, std::int64_t in, std::int64_t channels, std::int64_t patch)
    : Module(scope.device) {
  const Scope proj = scope.in("proj");
  const double bound = std::sqrt(6.0 / static_cast<double>(in * patch * patch + channels));
  weight_ = register_parameter("proj.weight", initial_uniform(proj, "weight", {channels, patch, patch, in}, bound),
                               ParameterLayout::convolution);
  bias_ = register_parameter("proj.bias", Tensor::zeros({channels}, scope.device));
}

Tensor PatchEmbedding::operator()(const Tensor& x) const {
  const Tensor y = conv2d(x, weight_, bias_, {.stride = static_cast<int>(weight_.size(1))});
  return reshape(y, {y.size(0), y.size(1) * y.size(2), y.size(3)});
}

TimestepEmbedder::TimestepEmbedder(const Scope& scope, std::int64_t channels)
    : Module(scope.device),
      mlp_0_(register_module(
          "mlp.0", std::make_unique<Linear>(scope.in("mlp.0"), time_features, channels, LinearStart::narrow))),
      mlp_2_(register_module("mlp.2",
                             std::make_unique<Linear>(scope.in("mlp.2"), channels, channels, LinearStart::narrow))) {}

Tensor TimestepEmbedder::operator()(const Tensor& t) const {
  return mlp_2_(mlp_0_.activated(sinusoidal_embedding(t, time_features, {.cos_first = true, .frequency_shift = 0.0}),
                                 ActivationKind::silu));
}

LabelEmbedder::LabelEmbedder(const Scope& scope, std::int64_t rows, std::int64_t channels)
    : Module(scope.device),
      embedding_table_(register_module(
          "embedding_table", std::make_unique<Embedding>(scope.in("embedding_table"), rows, channels, 0.02))) {}

DiTBlock::DiTBlock(const Scope& scope, std::int64_t channels, std::int64_t heads, std::int64_t mlp_channels)
    : Module(scope.device),
      channels_(channels),
      heads_(heads),
      norm1_(register_module("norm1",
                             std::make_unique<LayerNorm>(scope.in("norm1"), channels, norm_epsilon, /*affine=*/false))),
      norm2_(register_module("norm2",
                             std::make_unique<LayerNorm>(scope.in("norm2"), channels, norm_epsilon, /*affine=*/false))),
      qkv_(register_module(
          "attn.qkv", std::make_unique<Linear>(scope.in("attn.qkv"), channels, 3 * channels, LinearStart::xavier))),
      proj_(register_module("attn.proj",
                            std::make_unique<Linear>(scope.in("attn.proj"), channels, channels, LinearStart::xavier))),
      fc1_(register_module("mlp.fc1",
                           std::make_unique<Linear>(scope.in("mlp.fc1"), channels, mlp_channels, LinearStart::xavier))),
      fc2_(register_module("mlp.fc2",
                           std::make_unique<Linear>(scope.in("mlp.fc2"), mlp_channels, channels, LinearStart::xavier))),
      modulation_(register_module(
          "adaLN_modulation.1",
          std::make_unique<Linear>(scope.in("adaLN_modulation.1"), channels, 6 * channels, LinearStart::zero))) {}

Tensor DiTBlock::attend(const Tensor& x) const {
  const std::int64_t count = x.size(0), tokens = x.size(1), head = channels_ / heads_;
  const Tensor qkv = qkv_(x);
  const auto third = [&](std::int64_t index) {
    return reshape(slice(qkv, 2, index * channels_, channels_), {count, tokens, heads_, head});
  };
  const Tensor mixed = attention(third(0), third(1), third(2), 1.0 / std::sqrt(static_cast<double>(head)));
  return proj_(reshape(mixed, x.shape()));
}

Tensor DiTBlock::operator()(const Tensor& x, const Tensor& condition) const {
  const Tensor modulation = modulation_(condition);
  const auto of = [&](std::int64_t index) { return part(modulation, channels_, index); };
  const Tensor middle = add_gated(x, of(2), attend(norm1_(x, {.scale = of(1), .shift = of(0)})));
  return add_gated(middle, of(5),
                   fc2_(fc1_.activated(norm2_(middle, {.scale = of(4), .shift = of(3)}), ActivationKind::gelu_tanh)));
}

double DiTBlock::flops(double tokens) const {
  return qkv_.flops(tokens) + proj_.flops(tokens) + fc1_.flops(tokens) + fc2_.flops(tokens) + modulation_.flops(1) +
         4.0 * tokens * tokens * static_cast<double>(channels_);
}

FinalLayer::FinalLayer(const Scope& scope, std::int64_t channels, std::int64_t out)
    : Module(scope.device),
      channels_(channels),
      norm_final_(register_module(
          "norm_final", std::make_unique<LayerNorm>(scope.in("norm_final"), channels, norm_epsilon, /*affine=*/false))),
      linear_(
          register_module("linear", std::make_unique<Linear>(scope.in("linear"), channels, out, LinearStart::zero))),
      modulation_(register_module(
          "adaLN_modulation.1",
          std::make_unique<Linear>(scope.in("adaLN_modulation.1"), channels, 2 * channels, LinearStart::zero))) {}

Tensor FinalLayer::operator()(const Tensor& x, const Tensor& condition) const {
  const Tensor modulation = modulation_(condition);
  return linear_(norm_final_(x, {.scale = part(modulation, channels_, 1), .shift = part(modulation, channels_, 0)}));
}

}  // namespace tweedie
