#pragma once

#include <array>

#include "diffusion/data/image_set.h"

/// Data whose law is known. Sample i of a split depends on nothing but i and the split.
namespace tweedie::data {

/// How many samples each split of an unbounded set offers to be chosen from: those of Fashion-MNIST.
std::int64_t synthetic_count(Split split);

/// The mixture of `mixture:K,D[,SPREAD[,DEVIATION]]`: K components of weight 1/K in D dimensions, component k being
/// N(mean_k, deviation^2 I), its mean drawn once from N(0, spread^2 I). Labels are the components. Defaults: spread 1,
/// deviation 0.25.
struct MixtureParameters {
  std::int64_t components = 0;
  std::int64_t dimension = 0;
  double deviation = 0;
  std::vector<double> means;  // (K, D)
};
/// Of the text after "mixture:"; UsageError where it is not of that form.
MixtureParameters parse_mixture(std::string_view parameters);

/// What image i of `shapes` shows, in units of the image's side: a disc, a square or an equilateral triangle (labels 0,
/// 1, 2) with centre (x, y), x to the right and y down, and circumscribed radius, turned by `angle`, on black. Pixels
/// are the covered share of 4 x 4 points times the intensity (each channel's own in colour).
struct ShapeFactors {
  std::int64_t kind = 0;
  double x = 0, y = 0;                   // uniform in [0.3, 0.7]
  double radius = 0;                     // uniform in [0.12, 0.3]
  double angle = 0;                      // uniform in [0, 2 pi)
  std::array<double, 3> intensity = {};  // uniform in [0.4, 1]; grey uses the first
};
ShapeFactors shape_factors(std::int64_t index, Split split);

}  // namespace tweedie::data
