#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "autograd/ops/activation.h"
#include "nn/network.h"
#include "nn/time_embedding.h"

namespace tweedie {

/// A fully connected network on flattened pictures or points (a point of R^d is a picture of 1 x 1 with d channels).
struct MlpConfig {
  std::int64_t height = 1, width = 1, channels = 2;
  std::int64_t hidden_width = 128;
  std::int64_t hidden_layers = 3;
  std::string activation = "silu";    // or "gelu", "relu"
  std::int64_t time_channels = 32;    // features of the timestep, concatenated to the input
  std::int64_t num_class_embeds = 0;  // label classes; their embeddings are added to the time's features
  bool radial = false;                // radially equivariant: f(r u, t) = r f(u, t) for r > 0
  bool operator==(const MlpConfig&) const = default;

  static MlpConfig from_json(std::string_view text, std::string_view origin = "config.json");
  std::string to_json() const;
  void validate(std::string_view origin = "MLP") const;
};

/// y = output(f(hidden_k(... f(hidden_0([x, time features]))))). Parameters: hidden.i, output, class_embedding. A
/// radial one takes x / |x| for x and multiplies y with |x|: points on one ray from the origin get proportional
/// answers, so that what it learns depends on angles alone.
class Mlp : public Network {
 public:
  explicit Mlp(const MlpConfig& config, Device device = {}, std::uint64_t seed = 0);

  std::string config() const override { return config_.to_json(); }
  std::int64_t label_classes() const override { return config_.num_class_embeds; }
  std::int64_t in_channels() const override { return config_.channels; }
  std::int64_t out_channels() const override { return config_.channels; }
  double flops(const Shape& x) const override;
  /// "hidden.i": the activations (N, hidden_width).
  std::vector<std::string> tap_names() const override;

 protected:
  /// x (N, height, width, channels), timesteps (N), labels int64 (N) or undefined; the result has x's shape.
  Tensor evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) override;

 private:
  MlpConfig config_;
  const TimeProjection* time_proj_ = nullptr;
  const Embedding* class_embedding_ = nullptr;
  std::vector<const Linear*> hidden_;
  const Linear* output_ = nullptr;
};

}  // namespace tweedie
