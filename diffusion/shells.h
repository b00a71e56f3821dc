#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/process.h"

namespace tweedie {

/// Half-width, relative to its radius sigma sqrt(d), of the shell that holds a noised image with probability 1 - delta:
/// sqrt(2 log(2 / delta) / d).
double shell_half_width(std::int64_t dimension, double delta = 0.01);

/// Distances between pairs of images of one set: the closest pair exactly, quantiles over all pairs, or over
/// `most_pairs` of them drawn by `seed` where there are more.
class PairDistances {
 public:
  PairDistances(const data::ImageSet& images, std::uint64_t seed = 0, std::int64_t most_pairs = 200000);
  double smallest() const { return smallest_; }
  /// The distance that a fraction p of pairs lies below.
  double quantile(double p) const;

 private:
  double smallest_ = 0.0;
  std::vector<double> sorted_;
};

/// Bhattacharyya overlap of the shells of two images a distance apart: exp(-alpha^2 distance^2 / (8 sigma^2)).
double shell_overlap(const Process& process, double t, double distance);

}  // namespace tweedie
