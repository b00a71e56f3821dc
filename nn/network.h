#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/module.h"

namespace tweedie {

/// What a network computes its activations and their products in. bfloat16: parameters, the embeddings of noise level
/// and label, statistics, sums, results and the gradients of parameters stay float32 (mixed precision, Micikevicius et
/// al. 2018); weights are rounded where they are used.
enum class Precision : std::uint8_t { float32, bfloat16 };
std::string_view name_of(Precision precision);
/// "float32" or "bfloat16"; throws UsageError for anything else.
Precision parse_precision(std::string_view name);
/// What networks that are built from here on compute in, on this process: float32 until a program asks for another.
void set_default_precision(Precision precision);

/// A network that can be a score model: pictures and a noise-level input in, pictures out. It knows nothing of noise
/// schedules: `timesteps` go to the time embedding unchanged.
class Network : public Module {
 public:
  explicit Network(Device device);

  /// x (N, H, W, C), timesteps (N) floating, labels int64 (N) or undefined: (N, H, W, C_out). The result and the taps
  /// have the dtype of x, whatever the precision.
  Tensor forward(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context);
  void set_precision(Precision precision) { precision_ = precision; }
  Precision precision() const { return precision_; }

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

 protected:
  /// `forward` in the dtype of x: layers follow that of their input.
  virtual Tensor evaluate(const Tensor& x, const Tensor& timesteps, const Tensor& labels, ForwardContext& context) = 0;

 private:
  Precision precision_;
};

}  // namespace tweedie
