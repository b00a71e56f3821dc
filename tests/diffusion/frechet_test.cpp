#include "diffusion/frechet.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

FeatureMoments diagonal(std::vector<double> mean, const std::vector<double>& variances) {
  const std::size_t k = mean.size();
  FeatureMoments moments{.count = 100,
                         .dimension = static_cast<std::int64_t>(k),
                         .mean = std::move(mean),
                         .covariance = std::vector<double>(k * k)};
  for (std::size_t i = 0; i < k; ++i) moments.covariance[i * k + i] = variances[i];
  return moments;
}

// Commuting covariances: |m1 - m2|^2 + sum (sqrt v1 - sqrt v2)^2.
TEST(Frechet, EqualsTheClosedFormOfDiagonalGaussians) {
  const FeatureMoments a = diagonal({0.0, 1.0, 2.0}, {1.0, 4.0, 0.25}), b = diagonal({1.0, 1.0, 0.0}, {9.0, 1.0, 0.25});
  EXPECT_NEAR(frechet_distance(a, b), 1.0 + 4.0 + 4.0 + 1.0, 1e-12);
  EXPECT_NEAR(frechet_distance(a, a), 0.0, 1e-12);
  EXPECT_NEAR(frechet_distance(a, b), frechet_distance(b, a), 1e-12);
}

// tr (AB)^1/2 of 2 x 2 matrices is sqrt(tr AB + 2 sqrt(det AB)), by hand.
TEST(Frechet, EqualsTheClosedFormOfCorrelatedGaussians) {
  FeatureMoments a = diagonal({0.0, 0.0}, {2.0, 1.0}), b = diagonal({0.0, 0.0}, {1.0, 3.0});
  a.covariance[1] = a.covariance[2] = 0.5;
  b.covariance[1] = b.covariance[2] = -0.7;
  const double trace_product = 2.0 * 1.0 + 2.0 * 0.5 * -0.7 + 1.0 * 3.0;
  const double determinants = (2.0 - 0.25) * (3.0 - 0.49);
  const double cross = std::sqrt(trace_product + 2.0 * std::sqrt(determinants));
  EXPECT_NEAR(frechet_distance(a, b), 3.0 + 4.0 - 2.0 * cross, 1e-12);
}

TEST(Frechet, MomentsAreTheUnbiasedOnes) {
  const std::vector<float> rows = {1.0f, 0.0f, 3.0f, 2.0f, 5.0f, 1.0f};
  const FeatureMoments moments = feature_moments(rows, 2);
  EXPECT_EQ(moments.count, 3);
  EXPECT_DOUBLE_EQ(moments.mean[0], 3.0);
  EXPECT_DOUBLE_EQ(moments.covariance[0], 4.0);
  EXPECT_DOUBLE_EQ(moments.covariance[1], 1.0);
  EXPECT_THROW(feature_moments(std::vector<float>{1.0f, 2.0f}, 2), Error);
}

TEST(PrincipalFeatures, KeepDistancesWithinTheDataPlane) {
  // Points in a plane of R^6: two components keep everything.
  std::vector<float> values;
  for (std::uint32_t i = 0; i < 50; ++i) {
    const float u = normal({.seed = 1}, i, 0), v = normal({.seed = 1}, i, 1);
    for (const float x : {u, v, u + v, u - v, 2.0f * u, 0.0f}) values.push_back(x);
  }
  const data::ImageSet set = data::make_image_set("plane", data::Split::train, {50, 1, 1, 6}, values);
  const PrincipalFeatures features(set, 2);
  EXPECT_NEAR(features.explained(), 1.0, 1e-12);
  const std::vector<float> projected = features.features(set);
  double in_space = 0.0, in_features = 0.0;
  for (int j = 0; j < 6; ++j)
    in_space += std::pow(values[static_cast<std::size_t>(j)] - values[6 + static_cast<std::size_t>(j)], 2);
  for (int j = 0; j < 2; ++j)
    in_features += std::pow(projected[static_cast<std::size_t>(j)] - projected[2 + static_cast<std::size_t>(j)], 2);
  EXPECT_NEAR(in_features, in_space, 1e-4 * in_space);
}

}  // namespace
}  // namespace tweedie
