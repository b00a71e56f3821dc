#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

/// All of these throw Error for fewer values than they need and for values that are not finite.
double mean(std::span<const double> values);
/// Unbiased, in two passes; at least two values.
double variance(std::span<const double> values);
/// Of the mean: sqrt(variance / n).
double standard_error(std::span<const double> values);
/// Linear interpolation between order statistics at (n - 1) p (Hyndman and Fan 1996, type 7); p in [0, 1].
double quantile(std::span<const double> values, double p);
std::vector<double> quantiles(std::span<const double> values, std::span<const double> p);

/// A number with the standard deviation of its resampled values and their central interval.
struct Estimate {
  double value = 0;
  double standard_error = 0;
  double low = 0, high = 0;
  std::int64_t n = 0;
};

/// The mean of at least two values with Student's interval on n - 1 degrees of freedom: what a further one would vary
/// by.
Estimate student_estimate(std::span<const double> values, double level = 0.95);

/// Percentile bootstrap (Efron and Tibshirani 1993, chapter 13). Resample r draws from the random stream
/// (seed, Purpose::bootstrap, step, r), so an interval depends on nothing but its data and these settings.
struct Bootstrap {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  int resamples = 2000;
  double level = 0.95;
};
Estimate bootstrap_mean(std::span<const double> values, const Bootstrap& settings = {});
/// The mean of after[i] - before[i]: row i of both belongs to the same evaluation point.
Estimate paired_difference(std::span<const double> before, std::span<const double> after,
                           const Bootstrap& settings = {});
/// mean(numerator) / mean(denominator), rows drawn together.
Estimate paired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                      const Bootstrap& settings = {});
/// The mean over groups (seeds) of each group's mean (evaluation points): groups are drawn, then values within each.
/// n counts the groups.
Estimate clustered_mean(std::span<const std::vector<double>> groups, const Bootstrap& settings = {});

/// Least-squares line y = intercept + slope x, with the slope's standard error and its interval by Student's t on
/// n - 2 degrees of freedom; at least three points, not all at one x.
struct Line {
  double slope = 0, intercept = 0;
  double slope_error = 0, slope_low = 0, slope_high = 0;
  double r_squared = 0;
  std::int64_t n = 0;
};
Line fit_line(std::span<const double> x, std::span<const double> y, double level = 0.95);

/// The t with P(T <= t) = p for Student's distribution; p in (0, 1), degrees > 0. Relative error below 1e-10.
double student_t_quantile(double p, double degrees);

}  // namespace tweedie
