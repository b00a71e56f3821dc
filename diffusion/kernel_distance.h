#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

/// The kernel distance of Binkowski et al. 2018 (KID): the squared maximum mean discrepancy with the kernel
/// (x . y/k + 1)^3 between two sets of features (n, k) and (m, k), pairs of a point with itself left out. Unbiased for
/// any sample size, so it may come out below zero; at least two points a set.
double kernel_distance(std::span<const float> a, std::span<const float> b, std::int64_t dimension);

/// How both distances depend on the number of samples: Frechet's falls with it by its bias alone, the kernel's should
/// not move.
struct DistancesBySize {
  std::int64_t n = 0;
  double frechet = 0.0, frechet_se = 0.0;  // mean and standard error over the repeats
  double kernel = 0.0, kernel_se = 0.0;
};
/// At each size, `repeats` subsets of n vectors of `a`, drawn without replacement, against all of `b`.
std::vector<DistancesBySize> distances_by_size(std::span<const float> a, std::span<const float> b,
                                               std::int64_t dimension, std::span<const std::int64_t> sizes, int repeats,
                                               std::uint64_t seed);

}  // namespace tweedie
