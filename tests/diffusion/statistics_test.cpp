#include "diffusion/statistics.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

std::vector<double> normals(std::uint32_t sample, int count, double centre = 0, double spread = 1) {
  std::vector<double> values;
  const RandomKey key{5, Purpose::test, 0};
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform(key, sample, 2 * i)));
    values.push_back(centre + spread * radius * std::cos(2 * M_PI * uniform(key, sample, 2 * i + 1)));
  }
  return values;
}

TEST(Statistics, MomentsAndQuantiles) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_DOUBLE_EQ(variance(values), 32.0 / 7);
  EXPECT_DOUBLE_EQ(standard_error(values), std::sqrt(32.0 / 56));
  EXPECT_DOUBLE_EQ(quantile(values, 0), 2);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 9);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 4.5);
  // numpy.quantile([7, 1, 3, 10], [.25, .9])
  const std::vector<double> p = {0.25, 0.9};
  const std::vector<double> q = quantiles(std::vector<double>{7, 1, 3, 10}, p);
  EXPECT_DOUBLE_EQ(q[0], 2.5);
  EXPECT_DOUBLE_EQ(q[1], 9.1);
  EXPECT_DOUBLE_EQ(quantile(std::vector<double>{3}, 0.7), 3);
}

TEST(Statistics, VarianceKeepsItsDigitsFarFromZero) {
  EXPECT_DOUBLE_EQ(variance(std::vector<double>{1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}), 30);
}

TEST(Statistics, StudentQuantilesAreThoseOfTables) {
  // scipy.stats.t.ppf; 1 and 2 degrees have closed forms.
  EXPECT_NEAR(student_t_quantile(0.975, 1), std::tan(M_PI * 0.475), 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 2), 0.95 / std::sqrt(2 * 0.975 * 0.025), 1e-10);
  EXPECT_NEAR(student_t_quantile(0.975, 10), 2.2281388519649385, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.995, 30), 2.7499956535672247, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 1e6), 1.9599663, 1e-6);
  EXPECT_NEAR(student_t_quantile(0.025, 10), -2.2281388519649385, 1e-9);
  EXPECT_EQ(student_t_quantile(0.5, 3), 0);
}

TEST(Statistics, StudentIntervalsAreThoseOfTables) {
  const Estimate estimate = student_estimate(std::vector<double>{1, 2, 6});
  EXPECT_DOUBLE_EQ(estimate.value, 3);
  EXPECT_DOUBLE_EQ(estimate.standard_error, std::sqrt(7.0 / 3));
  EXPECT_NEAR(estimate.high, 3 + 4.302652729911275 * std::sqrt(7.0 / 3), 1e-9);  // t of 2 degrees
  EXPECT_NEAR(estimate.low, 3 - 4.302652729911275 * std::sqrt(7.0 / 3), 1e-9);
  EXPECT_EQ(estimate.n, 3);
  EXPECT_THROW(student_estimate(std::vector<double>{1}), Error);
}

TEST(Statistics, BootstrapAgreesWithTheStandardError) {
  const std::vector<double> values = normals(0, 400, 3, 2);
  const Estimate estimate = bootstrap_mean(values, {.seed = 1, .resamples = 4000});
  EXPECT_DOUBLE_EQ(estimate.value, mean(values));
  EXPECT_EQ(estimate.n, 400);
  // The bootstrap's own relative error is 1 / sqrt(2 * 4000) = 1.1 %; four of them.
  EXPECT_NEAR(estimate.standard_error / standard_error(values), 1, 0.045);
  EXPECT_NEAR((estimate.high - estimate.low) / (2 * 1.96 * standard_error(values)), 1, 0.06);
  EXPECT_LT(estimate.low, estimate.value);
  EXPECT_GT(estimate.high, estimate.value);
}

TEST(Statistics, IntervalsCoverAtTheirLevel) {
  int covered = 0;
  const int trials = 400;
  for (int trial = 0; trial < trials; ++trial) {
    const Estimate estimate =
        bootstrap_mean(normals(static_cast<std::uint32_t>(100 + trial), 60), {.resamples = 400, .level = 0.9});
    covered += estimate.low <= 0 && 0 <= estimate.high;
  }
  // Binomial(400, .9) has a standard deviation of 6; the percentile interval at n = 60 is about 1 % short.
  EXPECT_NEAR(covered, 0.89 * trials, 4 * 6);
}

TEST(Statistics, PairingRemovesWhatTheRowsShare) {
  const std::vector<double> shared = normals(1, 200, 0, 10), small = normals(2, 200, 0.5, 0.1);
  std::vector<double> before = shared, after = shared;
  for (std::size_t i = 0; i < after.size(); ++i) after[i] += small[i];
  const Estimate difference = paired_difference(before, after);
  EXPECT_NEAR(difference.value, mean(small), 1e-12);
  EXPECT_NEAR(difference.standard_error / standard_error(small), 1, 0.08);
  EXPECT_GT(difference.low, 0.45);
  EXPECT_LT(difference.high, 0.55);

  std::vector<double> numerator, denominator;
  for (std::size_t i = 0; i < shared.size(); ++i) {
    denominator.push_back(std::abs(shared[i]) + 1);
    numerator.push_back(1.25 * denominator.back());
  }
  const Estimate ratio = paired_ratio(numerator, denominator);
  EXPECT_NEAR(ratio.value, 1.25, 1e-12);
  EXPECT_NEAR(ratio.low, 1.25, 1e-12);
  EXPECT_NEAR(ratio.high, 1.25, 1e-12);
}

TEST(Statistics, ClustersCarryTheirOwnSpread) {
  // Eight seeds whose means differ by 1, with many points of spread 1 each: the seeds' spread is what counts.
  std::vector<std::vector<double>> groups;
  std::vector<double> centres = normals(3, 8);
  for (std::uint32_t g = 0; g < 8; ++g) groups.push_back(normals(10 + g, 300, centres[g]));
  const Estimate estimate = clustered_mean(groups);
  std::vector<double> means;
  for (const auto& group : groups) means.push_back(mean(group));
  EXPECT_DOUBLE_EQ(estimate.value, mean(means));
  EXPECT_EQ(estimate.n, 8);
  // Drawing 8 of 8 groups leaves out the factor n / (n - 1) of the unbiased variance.
  const double between = variance(means) * 7 / 8 / 8, within = 1.0 / 300 / 8;
  EXPECT_NEAR(estimate.standard_error / std::sqrt(between + within), 1, 0.07);
}

TEST(Statistics, AnIntervalDependsOnItsSettingsAlone) {
  const std::vector<double> values = normals(4, 50);
  const Estimate once = bootstrap_mean(values, {.seed = 3});
  const int threads = omp_get_max_threads();
  omp_set_num_threads(threads == 1 ? 2 : 1);
  const Estimate again = bootstrap_mean(values, {.seed = 3});
  omp_set_num_threads(threads);
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
  EXPECT_NE(once.low, bootstrap_mean(values, {.seed = 4}).low);
  EXPECT_NE(once.low, bootstrap_mean(values, {.seed = 3, .step = 1}).low);
}

TEST(Statistics, LineHasTheSlopeAndIntervalOfTextbooks) {
  const std::vector<double> x = {1, 2, 3, 4, 5}, y = {2.1, 4.1, 5.9, 8.1, 9.9};
  const Line line = fit_line(x, y);
  EXPECT_NEAR(line.slope, 1.96, 1e-12);
  EXPECT_NEAR(line.intercept, 0.14, 1e-12);
  double residual = 0;
  for (std::size_t i = 0; i < 5; ++i) residual += std::pow(y[i] - 0.14 - 1.96 * x[i], 2);
  EXPECT_NEAR(line.slope_error, std::sqrt(residual / 3 / 10), 1e-12);
  EXPECT_NEAR(line.slope_high - line.slope, 3.182446305284263 * line.slope_error, 1e-9);  // t of 3 degrees
  EXPECT_NEAR(line.slope - line.slope_low, 3.182446305284263 * line.slope_error, 1e-9);
  EXPECT_NEAR(line.r_squared, 1 - residual / (4 * variance(y)), 1e-12);
  const Line exact = fit_line(x, std::vector<double>{3, 5, 7, 9, 11});
  EXPECT_NEAR(exact.slope, 2, 1e-14);
  EXPECT_NEAR(exact.slope_high, 2, 1e-12);
  EXPECT_NEAR(exact.r_squared, 1, 1e-14);
}

TEST(Statistics, MistakesAreNamed) {
  const std::vector<double> none, one = {1}, two = {1, 2}, same = {2, 2, 2}, three = {1, 2, 3};
  const std::vector<double> bad = {1, std::numeric_limits<double>::quiet_NaN(), 3};
  EXPECT_THROW(mean(none), Error);
  EXPECT_THROW(variance(one), Error);
  EXPECT_THROW(quantile(two, 1.5), Error);
  EXPECT_THROW(bootstrap_mean(one), Error);
  EXPECT_THROW(bootstrap_mean(two, {.resamples = 1}), Error);
  EXPECT_THROW(paired_difference(two, three), Error);
  EXPECT_THROW(paired_ratio(two, std::vector<double>{1, -1}), Error);
  EXPECT_THROW(clustered_mean(std::vector<std::vector<double>>{{1, 2}}), Error);
  EXPECT_THROW(fit_line(two, two), Error);
  EXPECT_THROW(fit_line(same, three), Error);
  EXPECT_THROW(student_t_quantile(1, 3), Error);
  try {
    mean(bad);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "mean: value 1 is nan");
  }
}

}  // namespace
}  // namespace tweedie
