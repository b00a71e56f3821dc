#pragma once

#include <functional>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/score_model.h"

namespace tweedie {

/// What a denoiser that sees only a neighbourhood of each pixel would answer, had it learnt a finite set of images
/// exactly: the baseline of Kamb and Ganguli (arXiv 2412.20292, their local score machine) and Niedoba et al. (arXiv
/// 2411.19339). Pixel p of the clean image is the posterior mean over training images of their pixel p,
///   D_p(z, t) = sum_i w_ip x_ip,   w_.p = softmax_i(-|z - alpha x_i|^2_p / (2 sigma^2)),
/// |.|_p over the square patch of `patch(t)` pixels a side (odd) centred at p, cut off at the border. A patch that
/// covers the image from everywhere gives the empirical score; a patch of one pixel makes all pixels independent.
/// In double on the host; work grows as points x images x pixels, whatever the patch. Its divergence is closed.
class PatchScore final : public ScoreModel {
 public:
  using PatchSize = std::function<std::int64_t(double t)>;
  PatchScore(const data::ImageSet& images, const Process& process, PatchSize patch, Device device = {});

  /// z (N, H, W, C) or anything of as many numbers a sample. sigma > 0, but for x0, which is z/alpha at sigma = 0.
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor& labels = {}) override;
  std::optional<std::vector<double>> denoiser_divergence(const Tensor& z, std::span<const double> t,
                                                         const Tensor& labels = {}) override;
  const Process& process() const override { return process_; }
  Device device() const override { return device_; }

  /// Grows with the noise: the largest odd number up to smallest + (2 side - 1 - smallest) sigma/(alpha + sigma), from
  /// `smallest` at the data to the whole image at pure noise.
  static PatchSize growing(const Process& process, std::int64_t side, std::int64_t smallest = 3);

 private:
  struct Answer {
    std::vector<double> clean;  // (d)
    double variance = 0.0;      // sum over pixels and channels of Var_w(x_ip)
  };
  Answer answer(std::span<const double> z, double t) const;
  void check(const Tensor& z, std::span<const double> t, const Tensor& labels) const;

  std::vector<float> images_;  // (N, H, W, C)
  std::int64_t count_, height_, width_, channels_;
  Process process_;
  PatchSize patch_;
  Device device_;
};

}  // namespace tweedie
