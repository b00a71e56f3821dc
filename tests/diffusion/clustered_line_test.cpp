#include "diffusion/clustered_line.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

/// Uniform in [-1, 1].
double random_value(std::uint32_t sample, std::uint32_t position) {
  return 2.0 * uniform({7, Purpose::test, 0}, sample, position) - 1.0;
}

TEST(ClusteredLine, PointsOnALineGiveThatLineAndNoSpread) {
  const std::vector<PointCluster> clusters = {{{1, 2, 4}, {5, 7, 11}}, {{0, 3}, {3, 9}}, {{10}, {23}}};
  const std::vector<double> at = {-1, 5};
  const ClusteredLine line = clustered_line(clusters, at, {.resamples = 200});
  EXPECT_NEAR(line.slope.value, 2, 1e-13);
  EXPECT_NEAR(line.intercept.value, 3, 1e-13);
  EXPECT_NEAR(line.at[0].value, 1, 1e-12);
  EXPECT_NEAR(line.at[1].value, 13, 1e-12);
  EXPECT_NEAR(line.r_squared, 1, 1e-13);
  for (const Estimate& estimate : {line.slope, line.intercept, line.at[0], line.at[1]}) {
    EXPECT_NEAR(estimate.low, estimate.value, 1e-11);
    EXPECT_NEAR(estimate.high, estimate.value, 1e-11);
    EXPECT_NEAR(estimate.standard_error, 0, 1e-11);
    EXPECT_EQ(estimate.n, 3);
  }
  EXPECT_EQ(line.points, 6);
  EXPECT_EQ(line.clusters, 3);
}

/// With one point a cluster this is the bootstrap of pairs, whose standard error tends to the sandwich estimate
/// sqrt(sum (x - mean)^2 residual^2)/sum (x - mean)^2 (White 1980), also where residuals are unequal.
TEST(ClusteredLine, SpreadIsTheSandwichEstimate) {
  std::vector<PointCluster> clusters;
  std::vector<double> x, y;
  for (std::uint32_t i = 0; i < 300; ++i) {
    x.push_back(random_value(i, 0));
    y.push_back(1 - 2 * x.back() + (0.1 + std::abs(x.back())) * random_value(i, 1));
    clusters.push_back({{x.back()}, {y.back()}});
  }
  const Line plain = fit_line(x, y);
  double squares = 0, sandwich = 0;
  const double centre = mean(x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - centre, residual = y[i] - plain.intercept - plain.slope * x[i];
    squares += dx * dx;
    sandwich += dx * dx * residual * residual;
  }
  const double expected = std::sqrt(sandwich) / squares;
  EXPECT_GT(std::abs(plain.slope_error / expected - 1), 0.15);  // equal residuals would be a wrong assumption here
  const ClusteredLine line = clustered_line(clusters, {}, {.resamples = 8000});
  EXPECT_DOUBLE_EQ(line.slope.value, plain.slope);
  EXPECT_NEAR(line.slope.standard_error / expected, 1, 0.05);
  EXPECT_NEAR((line.slope.high - line.slope.low) / (2 * 1.96 * expected), 1, 0.07);
}

/// Points that only repeat their cluster's draw add no information: k copies of each leave the interval as it was.
TEST(ClusteredLine, CopiesWithinAClusterDoNotNarrowTheInterval) {
  std::vector<PointCluster> once, copied;
  for (std::uint32_t i = 0; i < 40; ++i) {
    const double x = random_value(i, 0), y = x + random_value(i, 1);
    once.push_back({{x}, {y}});
    copied.push_back({std::vector<double>(5, x), std::vector<double>(5, y)});
  }
  const ClusteredLine a = clustered_line(once), b = clustered_line(copied);
  EXPECT_NEAR(a.slope.low, b.slope.low, 1e-12);
  EXPECT_NEAR(a.slope.high, b.slope.high, 1e-12);
  EXPECT_EQ(b.points, 200);
}

TEST(ClusteredLine, ResamplesWithoutALineAreDrawnAgain) {
  // A third of the resamples have one x.
  const std::vector<PointCluster> clusters = {{{1}, {1}}, {{2}, {2}}, {{2}, {2}}};
  const ClusteredLine line = clustered_line(clusters, {}, {.resamples = 500});
  EXPECT_NEAR(line.slope.low, 1, 1e-12);
  EXPECT_NEAR(line.slope.high, 1, 1e-12);
  const ClusteredLine again = clustered_line(clusters, {}, {.resamples = 500});
  EXPECT_EQ(line.intercept.low, again.intercept.low);
}

TEST(ClusteredLine, MistakesAreNamed) {
  const std::vector<PointCluster> one = {{{1, 2, 3}, {1, 2, 3}}}, vertical = {{{1, 1}, {1, 2}}, {{1}, {3}}},
                                  uneven = {{{1, 2}, {1}}, {{1}, {3}}}, few = {{{1}, {1}}, {{2}, {3}}},
                                  good = {{{1, 2}, {1, 2}}, {{3}, {3}}};
  for (const auto& clusters : {one, vertical, uneven, few}) EXPECT_THROW(clustered_line(clusters), Error);
  EXPECT_THROW(clustered_line(good, {}, {.resamples = 1}), Error);
  EXPECT_THROW(clustered_line(good, {}, {.level = 1.0}), Error);
}

}  // namespace
}  // namespace tweedie
