#pragma once

#include <memory>
#include <optional>

#include "diffusion/score_model.h"
#include "nn/network.h"

namespace tweedie {

/// A network as a score model: what it is given (input scale, time input) and what its raw output means are the
/// parameterisation's. Gradients flow to z and to the parameters.
class NetworkScore : public ScoreModel {
 public:
  /// `null_label`, where given, is the network's last label and stands for no class; without one it is what the
  /// network's own configuration says. Throws Error for a network whose output has other channels than its input.
  NetworkScore(std::shared_ptr<Network> network, const Process& process, const Parameterisation& parameterisation,
               std::optional<std::int64_t> null_label = {});

  /// Dropout is off. z (N, H, W, C).
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return network_->device(); }

  /// The raw output F at z (N, H, W, C), which a loss compares with target_coefficients(process, t, parameterisation).
  Tensor output(const Tensor& z, std::span<const double> t, const Tensor& labels, ForwardContext& context);
  /// A view from the raw output F at z.
  Tensor converted(const Tensor& output, const Tensor& z, std::span<const double> t, View view) const;

  const Parameterisation& parameterisation() const { return parameterisation_; }
  /// Classes that it may be asked for: [0, classes()); 0 for an unconditional model.
  std::int64_t classes() const { return network_->label_classes() - (null_label_ ? 1 : 0); }
  std::optional<std::int64_t> null_label() const { return null_label_; }
  Network& network() { return *network_; }
  const Network& network() const { return *network_; }
  std::shared_ptr<Network> shared_network() const { return network_; }

 private:
  std::shared_ptr<Network> network_;
  Process process_;
  Parameterisation parameterisation_;
  std::optional<std::int64_t> null_label_;
};

}  // namespace tweedie
