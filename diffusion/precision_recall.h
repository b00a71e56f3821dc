#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "diffusion/statistics.h"

namespace tweedie {

/// Improved precision and recall (Kynkaanniemi et al. 2019): a set's manifold is the union of balls around its features
/// that reach to their k-th nearest neighbour within the set. Precision is the share of generated features on the real
/// manifold (quality), recall the share of real ones on the generated manifold (diversity). Both fall with the number
/// of samples: compare equal counts. Intervals by bootstrap over the features that are counted.
struct PrecisionRecall {
  Estimate precision, recall;
};
/// features (n, dimension) row-major; more than k of each. Throws Error otherwise.
PrecisionRecall precision_recall(std::span<const float> real, std::span<const float> generated, std::int64_t dimension,
                                 std::int64_t k = 3, const Bootstrap& settings = {});

}  // namespace tweedie
