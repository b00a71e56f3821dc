#include "nn/layers.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/shape.h"

namespace tweedie {

namespace {

Tensor initial_weight(const Scope& scope, std::int64_t in, std::int64_t out, LinearStart start) {
  const Shape shape{out, in};
  switch (start) {
    case LinearStart::pytorch:
      return initial_uniform(scope, "weight", shape, 1.0 / std::sqrt(static_cast<double>(in)));
    case LinearStart::xavier:
      return initial_uniform(scope, "weight", shape, std::sqrt(6.0 / static_cast<double>(in + out)));
    case LinearStart::narrow:
      return initial_normal(scope, "weight", shape, 0.02);
    case LinearStart::zero:
      break;
  }
  return Tensor::zeros(shape, scope.device);
}

}  // namespace

Linear::Linear(const Scope& scope, std::int64_t in, std::int64_t out, LinearStart start) : Module(scope.device) {
  require(in > 0 && out > 0, "{}: a linear layer of {} inputs and {} outputs; both must be positive", scope.path, in,
          out);
  weight_ = register_parameter("weight", initial_weight(scope, in, out, start));
  bias_ =
      register_parameter("bias", start == LinearStart::pytorch
                                     ? initial_uniform(scope, "bias", {out}, 1.0 / std::sqrt(static_cast<double>(in)))
                                     : Tensor::zeros({out}, scope.device));
}

Tensor Linear::operator()(const Tensor& x, const Tensor& residual) const {
  return linear(x, weight_, bias_, residual);
}
Tensor Linear::activated(const Tensor& x, ActivationKind kind) const {
  return activated_linear(x, weight_, bias_, kind);
}

Conv2d::Conv2d(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t kernel,
               const Conv2dGeometry& geometry)
    : Module(scope.device), geometry_(geometry) {
  require(in > 0 && out > 0, "{}: a convolution from {} to {} channels; both must be positive", scope.path, in, out);
  const double bound = 1.0 / std::sqrt(static_cast<double>(in * kernel * kernel));
  weight_ = register_parameter("weight", initial_uniform(scope, "weight", {out, kernel, kernel, in}, bound),
                               ParameterLayout::convolution);
  bias_ = register_parameter("bias", initial_uniform(scope, "bias", {out}, bound));
}

Tensor Conv2d::operator()(const Tensor& x, const Tensor& residual) const {
  return conv2d(x, weight_, bias_, geometry_, residual);
}

double Conv2d::flops(std::int64_t height, std::int64_t width) const {
  const std::int64_t kernel = weight_.size(1);
  const std::int64_t rows =
      conv2d_output_extent(height, kernel, geometry_.stride, geometry_.pad_top, geometry_.pad_bottom);
  const std::int64_t columns =
      conv2d_output_extent(width, kernel, geometry_.stride, geometry_.pad_left, geometry_.pad_right);
  return 2.0 * static_cast<double>(rows * columns * weight_.count());
}

std::unique_ptr<Conv2d> same_convolution(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  const int pad = static_cast<int>(kernel / 2);
  return std::make_unique<Conv2d>(
      scope, in, out, kernel,
      Conv2dGeometry{.stride = 1, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad});
}

GroupNorm::GroupNorm(const Scope& scope, std::int64_t groups, std::int64_t channels, double epsilon)
    : Module(scope.device), groups_(groups), epsilon_(epsilon) {
  require(groups > 0 && channels % groups == 0, "{}: {} channels cannot be divided into {} groups", scope.path,
          channels, groups);
  weight_ = register_parameter("weight", Tensor::full({channels}, 1.0, scope.device));
  bias_ = register_parameter("bias", Tensor::zeros({channels}, scope.device));
}

Tensor GroupNorm::operator()(const Tensor& x, GroupNormOptions options) const {
  options.groups = groups_;
  options.epsilon = epsilon_;
  return group_norm(x, weight_, bias_, options);
}

LayerNorm::LayerNorm(const Scope& scope, std::int64_t channels, double epsilon, bool affine)
    : Module(scope.device), epsilon_(epsilon) {
  if (!affine) return;
  weight_ = register_parameter("weight", Tensor::full({channels}, 1.0, scope.device));
  bias_ = register_parameter("bias", Tensor::zeros({channels}, scope.device));
}

Tensor LayerNorm::operator()(const Tensor& x, LayerNormOptions options) const {
  options.epsilon = epsilon_;
  return layer_norm(x, weight_, bias_, options);
}

Embedding::Embedding(const Scope& scope, std::int64_t count, std::int64_t channels, double standard_deviation)
    : Module(scope.device) {
  require(count > 0 && channels > 0, "{}: an embedding of {} rows of {} values; both must be positive", scope.path,
          count, channels);
  weight_ = register_parameter("weight", initial_normal(scope, "weight", {count, channels}, standard_deviation));
}

Tensor Embedding::operator()(const Tensor& indices) const {
  return embedding(weight_, indices);
}

SelfAttention::SelfAttention(const Scope& scope, const Options& options) : Module(scope.device), options_(options) {
  require(options.head_dim > 0 && options.head_dim <= options.channels,
          "{}: attention heads of {} channels do not fit into {} channels", scope.path, options.head_dim,
          options.channels);
  heads_ = options.channels / options.head_dim;
  const std::int64_t inner = heads_ * options.head_dim;
  if (options.groups)
    group_norm_ = &register_module("group_norm", std::make_unique<GroupNorm>(scope.in("group_norm"), *options.groups,
                                                                             options.channels, options.epsilon));
  const auto projection = [&](const char* name, std::int64_t in, std::int64_t out) {
    return &register_module(name, std::make_unique<Linear>(scope.in(name), in, out));
  };
  to_q_ = projection("to_q", options.channels, inner);
  to_k_ = projection("to_k", options.channels, inner);
  to_v_ = projection("to_v", options.channels, inner);
  to_out_ = projection("to_out.0", inner, options.channels);
}

Tensor SelfAttention::operator()(const Tensor& x) const {
  const std::int64_t count = x.size(0), positions = x.size(1) * x.size(2);
  const std::int64_t inner = heads_ * options_.head_dim;
  const Tensor flat = reshape(x, {count, positions, options_.channels});
  const Tensor h = group_norm_ != nullptr ? (*group_norm_)(flat) : flat;
  const auto heads_of = [&](const Linear& projection) {
    return reshape(projection(h), {count, positions, heads_, options_.head_dim});
  };
  const double temperature = 1.0 / std::sqrt(static_cast<double>(options_.head_dim));
  const Tensor mixed = attention(heads_of(*to_q_), heads_of(*to_k_), heads_of(*to_v_), temperature);
  const Tensor y = reshape((*to_out_)(reshape(mixed, {count, positions, inner}), flat), x.shape());
  return options_.output_scale == 1.0 ? y : scale(y, 1.0 / options_.output_scale);
}

double SelfAttention::flops(double positions) const {
  return to_q_->flops(positions) + to_k_->flops(positions) + to_v_->flops(positions) + to_out_->flops(positions) +
         4.0 * positions * positions * static_cast<double>(heads_ * options_.head_dim);
}

}  // namespace tweedie
