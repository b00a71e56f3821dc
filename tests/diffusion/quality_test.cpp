#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "diffusion/frechet.h"
#include "diffusion/kernel_distance.h"
#include "diffusion/memorization.h"
#include "diffusion/precision_recall.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

std::vector<float> cloud(std::size_t count, std::size_t k, std::uint64_t seed, float shift = 0.0F) {
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < k; ++j)
      values.push_back(shift + normal({.seed = seed}, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j)));
  return values;
}

double kernel(const float* x, const float* y, std::size_t k) {
  double product = 0.0;
  for (std::size_t j = 0; j < k; ++j) product += double{x[j]} * y[j];
  return std::pow(product / static_cast<double>(k) + 1.0, 3);
}

TEST(KernelDistance, EqualsBruteForce) {
  const std::size_t k = 5, n = 300, m = 70;  // more than one piece of rows
  const std::vector<float> a = cloud(n, k, 1), b = cloud(m, k, 2, 0.3F);
  double aa = 0.0, bb = 0.0, ab = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j)
      if (i != j) aa += kernel(&a[i * k], &a[j * k], k);
    for (std::size_t j = 0; j < m; ++j) ab += kernel(&a[i * k], &b[j * k], k);
  }
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < m; ++j)
      if (i != j) bb += kernel(&b[i * k], &b[j * k], k);
  const double expected = aa / (n * (n - 1.0)) + bb / (m * (m - 1.0)) - 2.0 * ab / (n * m);
  EXPECT_NEAR(kernel_distance(a, b, k), expected, 1e-10);
  EXPECT_NEAR(kernel_distance(b, a, k), expected, 1e-10);
  EXPECT_THROW(kernel_distance(std::span(a).first(k), b, k), Error);
}

// In one dimension E (x y + 1)^3 is a sum of products of moments: of N(0, 1) and N(s, 1) the distance is
// 3 s^2 + 3 (m2 - 1)^2 + m3^2 with m2 = 1 + s^2 and m3 = s^3 + 3 s.
TEST(KernelDistance, IsUnbiasedAtEverySizeAndFrechetIsNot) {
  const double s = 0.5, m3 = s * s * s + 3.0 * s;
  const double exact = 3.0 * s * s + 3.0 * s * s * s * s + m3 * m3;
  const std::vector<float> a = cloud(1000, 1, 3), b = cloud(1000, 1, 4, 0.5F);
  const std::vector<std::int64_t> sizes = {10, 50, 250};
  const std::vector<DistancesBySize> rows = distances_by_size(a, b, 1, sizes, 200, 5);
  const double whole = kernel_distance(a, b, 1);
  EXPECT_NEAR(whole, exact, 2.4);  // 2 m3 times the sampling error 0.2 of third moments of 1000 points, three times
  for (const DistancesBySize& row : rows) EXPECT_LT(std::abs(row.kernel - whole), 4.0 * row.kernel_se) << row.n;
  const std::vector<float> same = cloud(1000, 8, 6), other = cloud(1000, 8, 7);
  const std::vector<DistancesBySize> null = distances_by_size(same, other, 8, sizes, 40, 5);
  EXPECT_GT(null[0].frechet, 4.0 * null[1].frechet);  // the bias falls like 1/n
  EXPECT_GT(null[1].frechet, 3.0 * null[2].frechet);
  for (const DistancesBySize& row : null)
    EXPECT_LT(std::abs(row.kernel - kernel_distance(same, other, 8)), 4.0 * row.kernel_se) << row.n;
}

TEST(PrecisionRecall, EqualsBruteForce) {
  const std::size_t k = 3, n = 60, m = 45;
  const std::vector<float> real = cloud(n, k, 1), generated = cloud(m, k, 2, 1.0F);
  const auto squared = [&](const std::vector<float>& a, std::size_t i, const std::vector<float>& b, std::size_t j) {
    double sum = 0.0;
    for (std::size_t c = 0; c < k; ++c) sum += std::pow(double{a[i * k + c]} - b[j * k + c], 2);
    return sum;
  };
  const auto covered = [&](const std::vector<float>& points, std::size_t points_count,
                           const std::vector<float>& manifold, std::size_t manifold_count) {
    double inside = 0.0;
    for (std::size_t i = 0; i < points_count; ++i) {
      bool found = false;
      for (std::size_t j = 0; j < manifold_count; ++j) {
        std::vector<double> all;
        for (std::size_t other = 0; other < manifold_count; ++other)
          if (other != j) all.push_back(squared(manifold, j, manifold, other));
        std::sort(all.begin(), all.end());
        found = found || squared(points, i, manifold, j) <= all[2];
      }
      inside += found ? 1.0 : 0.0;
    }
    return inside / static_cast<double>(points_count);
  };
  const PrecisionRecall result = precision_recall(real, generated, k, 3);
  EXPECT_DOUBLE_EQ(result.precision.value, covered(generated, m, real, n));
  EXPECT_DOUBLE_EQ(result.recall.value, covered(real, n, generated, m));
  EXPECT_GT(result.precision.value, 0.05);
  EXPECT_LT(result.precision.value, 0.95);
  EXPECT_LT(result.precision.low, result.precision.value);
  EXPECT_THROW(precision_recall(std::span(real).first(3 * k), generated, k, 3), Error);
}

// Collapse costs recall and not precision; far-off samples cost both.
TEST(PrecisionRecall, TellsCollapseFromNonsense) {
  const std::vector<float> real = cloud(200, 2, 1);
  std::vector<float> collapsed = cloud(200, 2, 2), far = cloud(200, 2, 3, 30.0F);
  for (float& value : collapsed) value *= 0.05F;
  const PrecisionRecall narrow = precision_recall(real, collapsed, 2), wrong = precision_recall(real, far, 2);
  EXPECT_DOUBLE_EQ(narrow.precision.value, 1.0);
  EXPECT_LT(narrow.recall.value, 0.1);
  EXPECT_DOUBLE_EQ(wrong.precision.value, 0.0);
  EXPECT_DOUBLE_EQ(wrong.recall.value, 0.0);
}

TEST(Memorization, EstimatesAreTheFractionsWithIntervals) {
  NeighbourMeasures measures;
  for (int i = 0; i < 100; ++i) {
    measures.m.push_back(0.01 * i);
    measures.nearest_over_second.push_back(0.005 * i);
    measures.nearest.push_back(i % 10);
    measures.correlation.push_back(0.01 * i);
  }
  std::vector<std::int64_t> sources(100, 3);
  const MemorisedFractions fractions = memorised_fractions(measures);
  const MemorisedEstimates estimates = memorised_estimates(measures, sources);
  EXPECT_DOUBLE_EQ(estimates.m_third.value, fractions.m_third);
  EXPECT_DOUBLE_EQ(estimates.sqrt_m_third.value, fractions.sqrt_m_third);
  EXPECT_DOUBLE_EQ(estimates.sqrt_m_half.value, fractions.sqrt_m_half);
  EXPECT_DOUBLE_EQ(estimates.nn_ratio_third.value, fractions.nn_ratio_third);
  EXPECT_DOUBLE_EQ(estimates.source_recovery->value, 0.1);
  EXPECT_NEAR(estimates.correlation.value, 0.495, 1e-12);
  // A binomial of 100 tries: standard error sqrt(p (1 - p)/n) within the bootstrap's own scatter.
  const double p = estimates.m_third.value;
  EXPECT_NEAR(estimates.m_third.standard_error, std::sqrt(p * (1.0 - p) / 100.0), 0.004);
  EXPECT_LT(estimates.m_third.low, p);
  EXPECT_GT(estimates.m_third.high, p);
  EXPECT_FALSE(memorised_estimates(measures).source_recovery.has_value());
  EXPECT_THROW(memorised_estimates(measures, std::vector<std::int64_t>{1}), Error);
}

TEST(Memorization, CorrelationIsWithTheNearestAfterTheMeanIsTakenOut) {
  const std::vector<float> pixels = {5.0F, 1.0F, 7.0F, 3.0F, 3.0F, 5.0F};  // three images of two pixels, mean (5, 3)
  const data::ImageSet set = data::make_image_set("three", data::Split::train, {3, 1, 2, 1}, pixels);
  EXPECT_EQ(mean_image(set), (std::vector{5.0, 3.0}));
  const std::vector<float> images = {5.0F, 1.0F, 6.0F, 2.5F, 3.0F, 5.5F};
  const NeighbourMeasures measures = neighbour_measures(images, EmpiricalScore(set));
  EXPECT_EQ(measures.nearest, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_NEAR(measures.correlation[0], 1.0, 1e-12);
  EXPECT_NEAR(measures.correlation[1], 1.0 / std::sqrt(1.25), 1e-12);
  EXPECT_NEAR(measures.correlation[2], (4.0 + 5.0) / std::sqrt(8.0 * 10.25), 1e-12);
  // Among mirror images the nearest may be one of them.
  const std::vector<float> flipped = {1.0F, 5.0F};
  const NeighbourMeasures mirrored = neighbour_measures(flipped, EmpiricalScore(set, {}, true));
  EXPECT_EQ(mirrored.nearest[0], 3);
  EXPECT_NEAR(mirrored.correlation[0], 1.0, 1e-12);
  const std::vector<double> centre = {5.0, 3.0};
  const std::vector<double> paired =
      paired_correlation(images, std::vector<float>{5.0F, 2.0F, 4.0F, 3.5F, 3.0F, 3.0F}, centre);
  EXPECT_NEAR(paired[0], 1.0, 1e-12);
  EXPECT_NEAR(paired[1], -1.0, 1e-12);
  EXPECT_NEAR(paired[2], 2.0 / std::sqrt(10.25), 1e-12);
  EXPECT_THROW(paired_correlation(images, std::span(images).first(4), centre), Error);
}

}  // namespace
}  // namespace tweedie
