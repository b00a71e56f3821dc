#pragma once

#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// The best Gaussian (Wiener) denoiser of a set of images: the score of N(m, S), m their mean and S their covariance
/// (divided by N, that of the set itself), and so of all affine denoisers the one with the least squared error on it:
///   D(z, t) = m + alpha S (alpha^2 S + sigma^2 I)^-1 (z - alpha m).
/// In double on the host, through the eigen-decomposition of S. Not differentiable; its divergence is closed.
class GaussianScore final : public ScoreModel {
 public:
  GaussianScore(const data::ImageSet& images, const Process& process, Device device = {});

  /// z (N, ...) with dimension() numbers a sample. The score at sigma = 0 only where S is regular; x0 is z/alpha there.
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  std::optional<std::vector<double>> denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                         const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

  std::int64_t dimension() const { return static_cast<std::int64_t>(mean_.size()); }
  const std::vector<double>& eigenvalues() const { return eigenvalues_; }  // (d), rising

 private:
  Process process_;
  Device device_;
  std::vector<double> mean_, eigenvalues_;  // (d)
  std::vector<double> eigenvectors_;        // (d, d), row k is eigenvector k
};

}  // namespace tweedie
