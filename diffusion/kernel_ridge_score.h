#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "diffusion/input_source.h"
#include "diffusion/score_model.h"

namespace tweedie {

struct KernelRidgeOptions {
  std::int64_t draws = 1500;  // noised points that it is fitted on
  double width = 0.3;         // of the Gaussian kernel, in the features' units
  double time_width = 0.1;    // and in those of t
  double ridge = 1e-4;        // added to the kernel matrix's diagonal
  std::uint64_t seed = 0;
};

/// Kernel ridge regression of denoising score matching: the clean point of each of `draws` noised points, t uniform in
/// [t_min, t_max], regressed on (features(z), t) with the kernel exp(-|f - f'|^2/(2 width^2) - (t - t')^2/(2
/// time_width^2)). What such a model makes of places without data is its features' doing. Closed form, in double; work
/// grows as draws^3 once and as draws for each answer, so for points of few dimensions. Not differentiable.
class KernelRidgeScore final : public ScoreModel {
 public:
  /// What the kernel sees of a state (d numbers).
  using Features = std::function<std::vector<double>(std::span<const double> z)>;
  KernelRidgeScore(std::shared_ptr<const DeviceImages> images, const Process& process, Features features,
                   const KernelRidgeOptions& options);

  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

 private:
  std::vector<double> described(std::span<const double> z, double t) const;

  Process process_;
  Device device_;
  Features features_;
  KernelRidgeOptions options_;
  std::int64_t dimension_ = 0, width_ = 0;
  std::vector<double> rows_;          // (draws, width): scaled features and time of each draw
  std::vector<double> mean_;          // (d): of the clean points; what the model answers far from all draws
  std::vector<double> coefficients_;  // (draws, d)
};

}  // namespace tweedie
