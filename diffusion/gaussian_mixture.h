#pragma once

#include <span>
#include <vector>

#include "diffusion/score_model.h"

namespace tweedie {

/// One Gaussian of a mixture in R^d.
struct GaussianComponent {
  double weight = 1.0;             // weights are normalised to sum 1
  std::vector<double> mean;        // (d)
  std::vector<double> covariance;  // (d, d), symmetric, positive semi-definite; or one number: that times I
};

/// The closed form of a Gaussian mixture under a process: with z = alpha x + sigma e every component stays Gaussian,
/// N(alpha m, alpha^2 S + sigma^2 I). Computed in double on the host, whatever the device of z. Point masses (zero
/// covariance) are allowed: then it is the empirical score of the means. Not differentiable.
class GaussianMixtureScore : public ScoreModel {
 public:
  /// Throws Error for weights that are not positive, sizes that do not fit, covariances that are not symmetric or have
  /// an eigenvalue below zero.
  GaussianMixtureScore(std::vector<GaussianComponent> components, const Process& process, Device device = {});

  /// z (N, ...) with d numbers a sample. Exact at every t, except where a component has no density there: at sigma = 0
  /// with a singular covariance (Error).
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  std::optional<std::vector<double>> denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                         const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

  std::int64_t dimension() const { return dimension_; }
  /// Everything about one point z (d) at t.
  struct Answer {
    double log_density = 0.0;      // log p_t(z)
    std::vector<double> clean;     // E[x | z]
    std::vector<double> score;     // grad log p_t(z)
    double trace_posterior = 0.0;  // tr Cov(x | z)
    double trace_proxy = 0.0;      // tr C(z, t), C = alpha^2/sigma^4 Cov(x | z) = Cov(-e/sigma | z); sigma > 0
  };
  Answer answer(std::span<const double> z, double t) const;

 private:
  struct Component {
    double log_weight;
    std::vector<double> mean;
    std::vector<double> eigenvalues;   // (d)
    std::vector<double> eigenvectors;  // (d, d), row k is eigenvector k; empty for isotropic covariances
  };
  std::int64_t dimension_ = 0;
  std::vector<Component> components_;
  Process process_;
  Device device_;
};

}  // namespace tweedie
