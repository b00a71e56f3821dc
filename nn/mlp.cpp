#include "nn/mlp.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "nn/config_fields.h"

namespace tweedie {
namespace {

constexpr const char* class_name = "Mlp";

constexpr auto visit_fields = [](auto& config, auto&& visit) {
  visit("height", config.height);
  visit("width", config.width);
  visit("channels", config.channels);
  visit("hidden_width", config.hidden_width);
  visit("hidden_layers", config.hidden_layers);
  visit("activation", config.activation);
  visit("time_channels", config.time_channels);
  visit("num_class_embeds", config.num_class_embeds);
  visit("radial", config.radial);
};

ActivationKind activation_kind(const MlpConfig& config) {
  if (config.activation == "gelu") return ActivationKind::gelu;
  if (config.activation == "relu") return ActivationKind::relu;
  return ActivationKind::silu;
}

}  // namespace

MlpConfig MlpConfig::from_json(std::string_view text, std::string_view origin) {
  MlpConfig config = config_fields::read_config<MlpConfig>(text, origin, class_name, visit_fields);
  config.validate(origin);
  return config;
}

std::string MlpConfig::to_json() const {
  return config_fields::write_config(*this, class_name, visit_fields);
}

void MlpConfig::validate(std::string_view origin) const {
  config_fields::require_choice(origin, "activation", activation, {"silu", "gelu", "relu"});
  visit_fields(*this, [&](std::string_view name, const auto& field) {
    if constexpr (std::is_same_v<decltype(field), const std::int64_t&>)
      if (name != "num_class_embeds" || field != 0) config_fields::require_count(origin, name, field);
  });
}

Mlp::Mlp(const MlpConfig& config, Device device, std::uint64_t seed) : Network(device), config_(config) {
  config.validate();
  const Scope scope{device, seed, ""};
  time_proj_ = &register_module(
      "time_proj", std::make_unique<TimeProjection>(
                       scope.in("time_proj"),
                       TimeProjectionOptions{.kind = TimeEmbeddingKind::sinusoidal, .channels = config.time_channels}));
  if (config.num_class_embeds > 0)
    class_embedding_ = &register_module(
        "class_embedding",
        std::make_unique<Embedding>(scope.in("class_embedding"), config.num_class_embeds, config.time_channels));
  const std::int64_t features = config.height * config.width * config.channels;
  std::int64_t in = features + config.time_channels;
  for (std::int64_t i = 0; i < config.hidden_layers; ++i) {
    const std::string name = "hidden." + std::to_string(i);
    hidden_.push_back(&register_module(name, std::make_unique<Linear>(scope.in(name), in, config.hidden_width)));
    in = config.hidden_width;
  }
  output_ = &register_module("output", std::make_unique<Linear>(scope.in("output"), in, features));
}

Tensor Mlp::evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) {
  require(
      x.defined() && x.rank() == 4 && x.shape() == Shape({x.size(0), config_.height, config_.width, config_.channels}),
      "MLP: the input has shape {}, expected (N, {}, {}, {})", x.shape(), config_.height, config_.width,
      config_.channels);
  require(timesteps.defined() && timesteps.shape() == Shape({x.size(0)}),
          "MLP: timesteps have shape {}, expected ({}), one a sample", timesteps.shape(), x.size(0));
  require(labels.defined() == (class_embedding_ != nullptr), "MLP: class labels are {}",
          labels.defined() ? "given; this network is not conditioned on any"
                           : "missing; this network is conditioned on them");
  Tensor features = (*time_proj_)(floating_values(timesteps));
  if (class_embedding_ != nullptr) features = add(features, (*class_embedding_)(whole_numbers(labels, "class labels")));
  Tensor point = reshape(x, {x.size(0), -1}), radius;
  if (config_.radial) {
    constexpr double smallest = 1e-30;  // keeps the origin at the origin instead of dividing 0 by 0
    point = as_dtype(point, features.dtype());
    radius = reshape(sqrt(scale(sum(square(point), 1, 2), 1.0, smallest)), {x.size(0), 1});
    point = divide(point, radius);
  }
  Tensor h = concatenate({as_dtype(point, x.dtype()), as_dtype(features, x.dtype())}, 1);
  for (std::size_t i = 0; i < hidden_.size(); ++i) {
    h = hidden_[i]->activated(h, activation_kind(config_));
    tap(context, "hidden." + std::to_string(i), h);
  }
  const Tensor y = (*output_)(h);
  return reshape(config_.radial ? multiply(as_dtype(y, radius.dtype()), radius) : y, x.shape());
}

double Mlp::flops(const Shape& x) const {
  require(x.rank() == 4, "MLP: flops of an input of shape {}, expected (N, H, W, C)", x);
  double total = output_->flops(1);
  for (const Linear* layer : hidden_) total += layer->flops(1);
  return total * static_cast<double>(x[0]);
}

std::vector<std::string> Mlp::tap_names() const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < hidden_.size(); ++i) names.push_back("hidden." + std::to_string(i));
  return names;
}

}  // namespace tweedie
