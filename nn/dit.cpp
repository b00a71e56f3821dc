#include "nn/dit.h"

#include <charconv>
#include <cmath>

#include "autograd/ops/activation.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/config_fields.h"
#include "nn/time_embedding.h"

namespace tweedie {
namespace {

constexpr const char* class_name = "DiT";

constexpr auto visit_fields = [](auto& config, auto&& visit) {
  visit("input_size", config.input_size);
  visit("patch_size", config.patch_size);
  visit("in_channels", config.in_channels);
  visit("hidden_size", config.hidden_size);
  visit("depth", config.depth);
  visit("num_heads", config.num_heads);
  visit("mlp_ratio", config.mlp_ratio);
  visit("class_dropout_prob", config.class_dropout_prob);
  visit("num_classes", config.num_classes);
  visit("learn_sigma", config.learn_sigma);
};

struct Size {
  std::string_view name;
  std::int64_t width, depth, heads;
};
constexpr Size sizes[] = {{"dit-xxs", 64, 4, 2},  {"dit-xs", 128, 6, 4},   {"dit-s", 384, 12, 6},
                          {"dit-b", 768, 12, 12}, {"dit-l", 1024, 24, 16}, {"dit-xl", 1152, 28, 16}};

}  // namespace

DiTConfig DiTConfig::from_json(std::string_view text, std::string_view origin) {
  DiTConfig config = config_fields::read_config<DiTConfig>(text, origin, class_name, visit_fields);
  config.validate(origin);
  return config;
}

std::string DiTConfig::to_json() const {
  return config_fields::write_config(*this, class_name, visit_fields);
}

void DiTConfig::validate(std::string_view origin) const {
  visit_fields(*this, [&](std::string_view name, const auto& field) {
    if constexpr (std::is_same_v<decltype(field), const std::int64_t&>)
      if (name != "num_classes" || field != 0) config_fields::require_count(origin, name, field);
  });
  require(input_size % patch_size == 0, "{}: field input_size is {}, expected a multiple of patch_size, {}", origin,
          input_size, patch_size);
  require(hidden_size % num_heads == 0, "{}: field hidden_size is {}, expected a multiple of num_heads, {}", origin,
          hidden_size, num_heads);
  require(hidden_size % 4 == 0, "{}: field hidden_size is {}, expected a multiple of 4", origin, hidden_size);
  require(mlp_ratio > 0.0 && mlp_ratio <= 1024.0, "{}: field mlp_ratio is {}, expected above 0 and at most 1024",
          origin, mlp_ratio);
  require(static_cast<std::int64_t>(static_cast<double>(hidden_size) * mlp_ratio) > 0,
          "{}: field mlp_ratio is {}, which leaves no hidden channel", origin, mlp_ratio);
  require(class_dropout_prob >= 0.0 && class_dropout_prob < 1.0,
          "{}: field class_dropout_prob is {}, expected at least 0 and below 1", origin, class_dropout_prob);
}

std::vector<std::string> DiTConfig::preset_names() {
  std::vector<std::string> names;
  for (const Size& size : sizes) names.emplace_back(size.name);
  return names;
}

DiTConfig DiTConfig::preset(std::string_view name, std::int64_t input_size, std::int64_t channels) {
  const std::size_t slash = name.find('/');
  std::int64_t patch = 0;
  if (slash != std::string_view::npos) {
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + slash + 1, end, patch);
    if (error != std::errc() || rest != end) patch = 0;
  }
  for (const Size& size : sizes) {
    if (name.substr(0, slash) != size.name || patch < 1) continue;
    DiTConfig config;
    config.input_size = input_size;
    config.patch_size = patch;
    config.in_channels = channels;
    config.hidden_size = size.width;
    config.depth = size.depth;
    config.num_heads = size.heads;
    config.num_classes = 0;
    config.learn_sigma = false;
    return config;
  }
  std::string list;
  for (const std::string& known : preset_names()) list += (list.empty() ? "" : ", ") + known;
  throw UsageError(
      fmt::format("unknown transformer \"{}\"; expected one of {} followed by /PATCH, as in dit-s/2", name, list));
}

std::vector<float> grid_position_embedding(std::int64_t side, std::int64_t channels) {
  const std::int64_t frequencies = channels / 4;
  std::vector<float> values;
  const auto append = [&](std::int64_t position) {
    const auto phase = [&](std::int64_t k) {
      return static_cast<double>(position) *
             std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(frequencies));
    };
    for (std::int64_t k = 0; k < frequencies; ++k) values.push_back(static_cast<float>(std::sin(phase(k))));
    for (std::int64_t k = 0; k < frequencies; ++k) values.push_back(static_cast<float>(std::cos(phase(k))));
  };
  for (std::int64_t row = 0; row < side; ++row)
    for (std::int64_t column = 0; column < side; ++column) {
      append(column);
      append(row);
    }
  return values;
}

DiT::DiT(const DiTConfig& config, Device device, std::uint64_t seed) : Network(device), config_(config) {
  config.validate();
  const Scope scope{device, seed, ""};
  const std::int64_t width = config.hidden_size;
  pos_embed_ = register_parameter("pos_embed",
                                  Tensor::from_host(std::span<const float>(grid_position_embedding(side(), width)),
                                                    {1, side() * side(), width}, device),
                                  ParameterLayout::plain, /*trained=*/false);
  x_embedder_ = &register_module(
      "x_embedder",
      std::make_unique<PatchEmbedding>(scope.in("x_embedder"), config.in_channels, width, config.patch_size));
  t_embedder_ = &register_module("t_embedder", std::make_unique<TimestepEmbedder>(scope.in("t_embedder"), width));
  if (config.num_classes > 0)
    y_embedder_ =
        &register_module("y_embedder", std::make_unique<LabelEmbedder>(scope.in("y_embedder"), label_classes(), width));
  const auto mlp_channels = static_cast<std::int64_t>(static_cast<double>(width) * config.mlp_ratio);
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const std::string name = "blocks." + std::to_string(i);
    blocks_.push_back(
        &register_module(name, std::make_unique<DiTBlock>(scope.in(name), width, config.num_heads, mlp_channels)));
  }
  const std::int64_t outputs =
      config.patch_size * config.patch_size * config.in_channels * (config.learn_sigma ? 2 : 1);
  final_layer_ = &register_module("final_layer", std::make_unique<FinalLayer>(scope.in("final_layer"), width, outputs));
}

std::int64_t DiT::label_classes() const {
  return config_.num_classes > 0 && config_.class_dropout_prob > 0.0 ? config_.num_classes + 1 : config_.num_classes;
}

std::optional<std::int64_t> DiT::null_label() const {
  if (label_classes() == config_.num_classes) return {};
  return config_.num_classes;
}

void DiT::check_input(const Tensor& x, const Tensor& timesteps, const Tensor& labels) const {
  const std::int64_t size = config_.input_size;
  require(x.defined() && x.rank() == 4 && x.shape() == Shape({x.size(0), size, size, config_.in_channels}),
          "DiT: the input has shape {}, expected (N, {}, {}, {})", x.shape(), size, size, config_.in_channels);
  require(timesteps.defined() && timesteps.shape() == Shape({x.size(0)}),
          "DiT: timesteps have shape {}, expected ({}), one a sample", timesteps.shape(), x.size(0));
  require(labels.defined() == (y_embedder_ != nullptr), "DiT: class labels are {}",
          labels.defined() ? "given; this network is not conditioned on any"
                           : "missing; this network is conditioned on them");
}

Tensor DiT::unpatchify(const Tensor& tokens) const {
  const std::int64_t count = tokens.size(0), patch = config_.patch_size, size = config_.input_size;
  const std::int64_t channels = tokens.size(2) / (patch * patch);
  Tensor pictures = permute(reshape(tokens, {count, side(), side(), patch, patch, channels}), {0, 1, 3, 2, 4, 5});
  pictures = reshape(pictures, {count, size, size, channels});
  return config_.learn_sigma ? slice(pictures, 3, 0, config_.in_channels) : pictures;
}

Tensor DiT::evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) {
  check_input(x, timesteps, labels);
  Tensor condition = (*t_embedder_)(floating_values(timesteps));
  if (y_embedder_ != nullptr) condition = add(condition, (*y_embedder_)(whole_numbers(labels, "class labels")));
  condition = silu(condition);
  Tensor h = add((*x_embedder_)(x), as_dtype(pos_embed_, x.dtype()));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = (*blocks_[i])(h, condition);
    tap(context, "blocks." + std::to_string(i), h);
  }
  return unpatchify((*final_layer_)(h, condition));
}

double DiT::flops(const Shape& x) const {
  require(x.rank() == 4, "DiT: flops of an input of shape {}, expected (N, H, W, C)", x);
  const auto tokens = static_cast<double>(side() * side());
  double total = x_embedder_->flops(tokens) + t_embedder_->flops() + final_layer_->flops(tokens);
  for (const DiTBlock* block : blocks_) total += block->flops(tokens);
  return total * static_cast<double>(x[0]);
}

std::vector<std::string> DiT::tap_names() const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < blocks_.size(); ++i) names.push_back("blocks." + std::to_string(i));
  return names;
}

}  // namespace tweedie
