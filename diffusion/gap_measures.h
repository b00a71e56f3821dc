#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "diffusion/point_set.h"

namespace tweedie {

/// `count` equal bins on [from, to).
struct LineBins {
  std::int64_t count = 200;
  double from = -1.5 - 1.5 / 199.0, to = 1.5 + 1.5 / 199.0;  // centred on a 200-point grid of [-1.5, 1.5]
  double width() const { return (to - from) / static_cast<double>(count); }
  double centre(std::int64_t bin) const { return from + (static_cast<double>(bin) + 0.5) * width(); }
};

/// Where samples on a line lie relative to a set of points (Vastola 2025's gaps, as shares of all samples).
struct GapMasses {
  double gap = 0.0;      // between neighbouring points, at least a quarter of their distance from both
  double near = 0.0;     // within 0.1 of a point
  double outside = 0.0;  // beyond all bins
};
GapMasses gap_masses(std::span<const float> samples, const PointSet& set, const LineBins& bins);

/// Where samples of the plane, x (n) then y (n), lie relative to points in the order of a polygon's corners.
struct PlaneMasses {
  double edge = 0.0;     // within 0.25 of a mid-point of neighbouring points
  double centre = 0.0;   // within 0.25 of the origin
  double near = 0.0;     // within 0.25 of a point
  double outside = 0.0;  // max(|x|, |y|) > 1.5
};
PlaneMasses plane_masses(std::span<const float> samples, const PointSet& set);

/// The share of the samples inside the bins that falls into each of them. Throws Error where none is inside.
std::vector<double> bin_shares(std::span<const float> samples, const LineBins& bins);
/// The law of alpha x + sigma e, x uniform over the set, binned and normalised over the bins.
std::vector<double> smoothed_shares(const PointSet& set, double alpha, double sigma, const LineBins& bins);

/// A number with its standard error over models.
struct OverModels {
  double value = 0.0, standard_error = 0.0;
};
OverModels over_models(std::span<const double> values);

/// 1/2 sum |p - q|.
double total_variation(std::span<const double> p, std::span<const double> q);
/// sum p log(p/q) over the bins with p > 0; q is raised to `floor` where it is below. In nats.
double kullback_leibler(std::span<const double> p, std::span<const double> q, double floor);
/// The 1-Wasserstein distance of two binned laws, in units of x.
double wasserstein(std::span<const double> p, std::span<const double> q, double width);
/// The total variation between the mean over models of their shares and `reference`, with its jackknife standard error
/// over models.
OverModels total_variation_of_mean(std::span<const std::vector<double>> shares, std::span<const double> reference);

/// The two-sample Kolmogorov-Smirnov distance max |F_a - F_b|.
double kolmogorov_smirnov(std::span<const float> a, std::span<const float> b);
/// What it exceeds with probability `level` (asymptotically) when both samples have one law: sqrt(-log(level/2)/2 (1/n
/// + 1/m)).
double kolmogorov_smirnov_critical(std::int64_t n, std::int64_t m, double level);

}  // namespace tweedie
