#pragma once

#include <memory>

#include "diffusion/score_model.h"
#include "nn/network.h"

namespace tweedie {

/// A network as a score model: what it is given (input scale, time input) and what its raw output means are the
/// parameterisation's. Gradients flow to z and to the parameters.
class NetworkScore : public ScoreModel {
 public:
  /// Throws Error for a network whose output has other channels than its input.
  NetworkScore(std::shared_ptr<Network> network, const Process& process, const Parameterisation& parameterisation);

  /// Dropout is off. z (N, H, W, C).
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return network_->device(); }

  /// The raw output F at z (N, H, W, C), which a loss compares with target_coefficients(process, t, parameterisation).
  Tensor output(const Tensor& z, std::span<const double> t, const Tensor& labels, ForwardContext& context);
  /// A view from the raw output F at z.
  Tensor converted(const Tensor& output, const Tensor& z, std::span<const double> t, View view) const;

  const Parameterisation& parameterisation() const { return parameterisation_; }
  Network& network() { return *network_; }
  const Network& network() const { return *network_; }
  std::shared_ptr<Network> shared_network() const { return network_; }

 private:
  std::shared_ptr<Network> network_;
  Process process_;
  Parameterisation parameterisation_;
};

}  // namespace tweedie
