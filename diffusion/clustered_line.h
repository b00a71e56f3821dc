#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "diffusion/statistics.h"

namespace tweedie {

/// Points (x, y) that belong together: what was measured of one trained network at several steps.
struct PointCluster {
  std::vector<double> x, y;
};

/// A least-squares line y = intercept + slope x through the points of several clusters, its intervals a percentile
/// bootstrap over whole clusters (points of one network are no independent draws, and no residuals are assumed equal).
struct ClusteredLine {
  Estimate slope, intercept;
  std::vector<Estimate> at;  // the line at each x that was asked for
  double r_squared = 0;
  std::int64_t points = 0, clusters = 0;
};
/// Throws Error for fewer than two clusters or three points, for lists of unequal lengths, and where all points of all
/// clusters have one x. Resamples whose points have one x have no line and are drawn again.
ClusteredLine clustered_line(std::span<const PointCluster> clusters, std::span<const double> at = {},
                             const Bootstrap& settings = {});

}  // namespace tweedie
