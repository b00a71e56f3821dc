#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "diffusion/score_model.h"

namespace tweedie {

/// The neural tangent kernel of a fully connected ReLU network without biases, of infinite width, in the NTK
/// parametrisation (Jacot et al. 2018; arc-cosine kernels of Cho and Saul 2009): layers h <- sqrt(2/n) W relu(h), the
/// first W u / sqrt(m). u, v (m), not 0; hidden_layers >= 1.
double tangent_kernel(std::span<const double> u, std::span<const double> v, int hidden_layers);

/// Kernel regression at training time tau: what gradient flow on 1/2 mean l |f - y|^2 makes of a network that stays
/// linear in its weights. f_tau = f_0 + sum_i B_i(u) (y_i - f_0(u_i)): mode k of L^1/2 K L^1/2 / P (L the loss weights)
/// has learned the share 1 - exp(-mu_k tau).
class KernelFlow {
 public:
  /// inputs (P, m), loss_weights (P) above 0. Costs P^3.
  KernelFlow(std::vector<double> inputs, std::int64_t input_dimension, std::vector<double> loss_weights,
             int hidden_layers = 1);
  std::int64_t count() const { return static_cast<std::int64_t>(loss_weights_.size()); }
  /// mu_k, rising.
  const std::vector<double>& rates() const { return rates_; }
  /// The matrix T (P, P) of B(u) = k(u, inputs) T at time tau.
  std::vector<double> response(double tau) const;
  /// k(u, inputs) (P).
  std::vector<double> kernel_row(std::span<const double> u) const;

 private:
  std::vector<double> inputs_;
  std::int64_t input_dimension_;
  std::vector<double> loss_weights_, rates_, modes_;  // modes (P, P), mode k in column-major column k
  int hidden_layers_;
};

/// What a network is shown of a state: (z, time_scale t, 1), the last in the place of biases.
std::vector<double> network_input(std::span<const double> z, double t, double time_scale);

/// A kernel denoiser x0(z, t) = sum_i k(u, u_i) c_i with f_0 = 0, as a score model.
class KernelScore final : public ScoreModel {
 public:
  /// targets (P, d).
  KernelScore(std::shared_ptr<const KernelFlow> flow, std::span<const double> targets, double tau, double time_scale,
              const Process& process, Device device = {});
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

 private:
  std::shared_ptr<const KernelFlow> flow_;
  std::int64_t dimension_;
  std::vector<double> coefficients_;  // (P, d)
  double time_scale_;
  Process process_;
  Device device_;
};

/// A ReLU network with one hidden layer of finite width in the same parametrisation, trained by gradient descent in
/// double on the same loss: what KernelFlow is the limit of.
class WideNetwork {
 public:
  WideNetwork(std::int64_t width, std::int64_t input_dimension, std::uint64_t seed);
  double evaluate(std::span<const double> u) const;
  /// `steps` steps of size tau / steps on all of inputs (P, m), targets (P), loss_weights (P).
  void train(std::span<const double> inputs, std::span<const double> targets, std::span<const double> loss_weights,
             double tau, std::int64_t steps);

 private:
  std::int64_t width_, input_dimension_;
  std::vector<double> hidden_, output_;  // (width, m), (width)
};

}  // namespace tweedie
