#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/feature_flow/feature_flow.h"

namespace tweedie {

/// phi(z, t) in R^F: what a linear model is linear in.
class FeatureMap {
 public:
  virtual ~FeatureMap() = default;
  virtual std::int64_t dimension() const = 0;  // of z
  virtual std::int64_t count() const = 0;      // F
  /// z (d), out (F).
  virtual void evaluate(std::span<const double> z, double t, std::span<double> out) const = 0;
  virtual std::string describe() const = 0;
};

/// Functions of one coordinate on an interval [from, to]. gaussian: `count` normal densities of standard deviation
/// `width` times the spacing of their equidistant centres, the first at `from` and the last at `to`. fourier: 1, cos 2
/// pi n x/L and sin 2 pi n x/L with L = to - from and x itself (not x - from), cosines first.
struct FeatureAxis {
  FlowAxis::Basis basis = FlowAxis::Basis::gaussian;
  std::int64_t count = 16;
  double from = -1.5, to = 1.5;
  double width = 0.5;

  FlowAxis flow_axis() const;
  /// What the functions of flow_axis() are to be multiplied with: the peak of the density, or 1.
  double peak() const;
  void evaluate(double x, std::span<double> out) const;
};

/// All products of one function a coordinate, time last: phi = f(z_1) x ... x f(z_d) x f(t), the last index running
/// fastest (Vastola 2025, figures 2 and 3).
class CrossedFeatures final : public FeatureMap {
 public:
  /// Throws Error for no axes, or counts that an axis cannot have.
  CrossedFeatures(std::vector<FeatureAxis> space, FeatureAxis time);
  std::int64_t dimension() const override { return static_cast<std::int64_t>(space_.size()); }
  std::int64_t count() const override;
  void evaluate(std::span<const double> z, double t, std::span<double> out) const override;
  std::string describe() const override;
  const std::vector<FeatureAxis>& space() const { return space_; }
  const FeatureAxis& time() const { return time_; }

 private:
  std::vector<FeatureAxis> space_;
  FeatureAxis time_;
};

/// sqrt(2/F) cos(w . (z, t/time_scale) + b) with w of standard deviation 1/bandwidth and b uniform (Rahimi and Recht
/// 2007): a Gaussian kernel of that bandwidth as F grows.
class RandomFeatures final : public FeatureMap {
 public:
  RandomFeatures(std::int64_t dimension, std::int64_t count, double bandwidth, double time_scale, std::uint64_t seed);
  std::int64_t dimension() const override { return dimension_; }
  std::int64_t count() const override { return static_cast<std::int64_t>(phases_.size()); }
  void evaluate(std::span<const double> z, double t, std::span<double> out) const override;
  std::string describe() const override;

 private:
  std::int64_t dimension_;
  double bandwidth_, time_scale_;
  std::vector<double> frequencies_, phases_;  // (F, d + 1), (F)
};

}  // namespace tweedie
