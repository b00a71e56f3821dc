#pragma once

#include <Eigen/Dense>

#include <span>

#include "kernels/runtime/error.h"

namespace tweedie {

using FeatureMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Feature vectors (count, dimension) row-major, in double. For the .cpp files of measures on features.
inline FeatureMatrix rows_of(std::span<const float> values, std::int64_t dimension) {
  require(dimension > 0 && values.size() % static_cast<std::size_t>(dimension) == 0,
          "features: {} values are no whole rows of {}", values.size(), dimension);
  const auto rows = static_cast<Eigen::Index>(values.size()) / dimension;
  return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(values.data(), rows,
                                                                                                 dimension)
      .cast<double>();
}

}  // namespace tweedie
