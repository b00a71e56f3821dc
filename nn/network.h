#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"

namespace tweedie {

/// A network that can be a score model: pictures and a noise-level input in, pictures out. It knows nothing of noise
/// schedules: `timesteps` go to the time embedding unchanged.
class Network : public Module {
 public:
  using Module::Module;

  /// x (N, H, W, C), timesteps (N) floating, labels int64 (N) or undefined: (N, H, W, C_out).
  virtual Tensor forward(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) = 0;
  /// The text of config.json that rebuilds this network ("_class_name" says which).
  virtual std::string config() const = 0;
  /// How many labels it knows; 0 for an unconditional network.
  virtual std::int64_t label_classes() const { return 0; }
  /// The label that stands for no class, where the network's configuration says that it has one.
  virtual std::optional<std::int64_t> null_label() const { return {}; }
  virtual std::int64_t in_channels() const = 0;
  virtual std::int64_t out_channels() const = 0;
  /// Floating-point operations of one forward pass on x (N, H, W, C): its matmuls, convolutions and attention, two for
  /// each multiply-add. A training step does about three times as many.
  virtual double flops(const Shape& x) const = 0;
  /// Names that ForwardContext::taps may hold.
  virtual std::vector<std::string> tap_names() const { return {}; }
};

}  // namespace tweedie
