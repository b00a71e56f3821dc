#include "diffusion/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "kernels/runtime/error.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

void check(std::string_view what, std::span<const double> values, std::size_t least) {
  require(values.size() >= least, "{}: got {} values, needs at least {}", what, values.size(), least);
  for (std::size_t i = 0; i < values.size(); ++i) {
    require(std::isfinite(values[i]), "{}: value {} is {}", what, i, values[i]);
  }
}

void check_pairs(std::string_view what, std::span<const double> a, std::span<const double> b, std::size_t least) {
  require(a.size() == b.size(), "{}: got {} and {} values, expected pairs", what, a.size(), b.size());
  check(what, a, least);
  check(what, b, least);
}

double sum(std::span<const double> values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

double quantile_of_sorted(std::span<const double> sorted, double p) {
  require(p >= 0 && p <= 1, "quantile: p is {}, expected 0 to 1", p);
  const double position = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// The resampled values of a statistic, statistic(resample number), as an Estimate around its value on the data.
// `draws` is the number of random draws of one resample.
template <class Statistic>
Estimate resample(double value, std::int64_t n, std::int64_t draws, const Bootstrap& settings, Statistic&& statistic) {
  require(settings.resamples >= 2 && settings.level > 0 && settings.level < 1,
          "bootstrap: {} resamples at level {}, expected at least 2 at a level between 0 and 1", settings.resamples,
          settings.level);
  std::vector<double> drawn(static_cast<std::size_t>(settings.resamples));
  constexpr std::int64_t draws_worth_a_thread = 100'000;
  parallel_for(settings.resamples, 1 + draws_worth_a_thread / draws, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      drawn[static_cast<std::size_t>(r)] = statistic(static_cast<std::uint32_t>(r));
    }
  });
  const double deviation = std::sqrt(variance(drawn));
  std::sort(drawn.begin(), drawn.end());
  const double tail = (1 - settings.level) / 2;
  return {value, deviation, quantile_of_sorted(drawn, tail), quantile_of_sorted(drawn, 1 - tail), n};
}

RandomKey key_of(const Bootstrap& settings) {
  return {settings.seed, Purpose::bootstrap, settings.step};
}

// The regularised incomplete beta function I_x(a, b) by Lentz's continued fraction (DLMF 8.17.22), for
// x < (a + 1) / (a + b + 2), where it converges fast.
double incomplete_beta(double a, double b, double x) {
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < tiny ? tiny : d);
  double fraction = d;
  for (int m = 1; m < 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double factor = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      c = 1 + term / c;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      c = std::abs(c) < tiny ? tiny : c;
      factor = c * d;
      fraction *= factor;
    }
    if (std::abs(factor - 1) < 1e-16) break;
  }
  const double log_front = std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(log_front) * fraction / a;
}

// P(T > t) for t >= 0, without cancellation in the tail.
double student_t_tail(double t, double degrees) {
  const double x = degrees / (degrees + t * t), y = t * t / (degrees + t * t);
  const double a = degrees / 2, b = 0.5;
  return x < (a + 1) / (a + b + 2) ? incomplete_beta(a, b, x) / 2 : (1 - incomplete_beta(b, a, y)) / 2;
}

}  // namespace

double mean(std::span<const double> values) {
  check("mean", values, 1);
  return sum(values) / static_cast<double>(values.size());
}

double variance(std::span<const double> values) {
  check("variance", values, 2);
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return squares / static_cast<double>(values.size() - 1);
}

double standard_error(std::span<const double> values) {
  return std::sqrt(variance(values) / static_cast<double>(values.size()));
}

Estimate student_estimate(std::span<const double> values, double level) {
  require(level > 0 && level < 1, "student_estimate: level is {}, expected between 0 and 1", level);
  Estimate estimate{.value = mean(values), .standard_error = standard_error(values)};
  estimate.n = static_cast<std::int64_t>(values.size());
  const double reach =
      student_t_quantile(1 - (1 - level) / 2, static_cast<double>(estimate.n) - 1) * estimate.standard_error;
  estimate.low = estimate.value - reach;
  estimate.high = estimate.value + reach;
  return estimate;
}

double quantile(std::span<const double> values, double p) {
  return quantiles(values, std::span(&p, 1)).front();
}

std::vector<double> quantiles(std::span<const double> values, std::span<const double> p) {
  check("quantile", values, 1);
  std::vector<double> sorted(values.begin(), values.end()), result;
  std::sort(sorted.begin(), sorted.end());
  for (const double each : p) result.push_back(quantile_of_sorted(sorted, each));
  return result;
}

Estimate bootstrap_mean(std::span<const double> values, const Bootstrap& settings) {
  check("bootstrap_mean", values, 2);
  const auto n = static_cast<std::int64_t>(values.size());
  const RandomKey key = key_of(settings);
  return resample(mean(values), n, n, settings, [&](std::uint32_t r) {
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      total += values[static_cast<std::size_t>(uniform_integer(key, r, n, static_cast<std::uint32_t>(i)))];
    }
    return total / static_cast<double>(n);
  });
}

Estimate paired_difference(std::span<const double> before, std::span<const double> after, const Bootstrap& settings) {
  check_pairs("paired_difference", before, after, 2);
  std::vector<double> differences(before.size());
  for (std::size_t i = 0; i < before.size(); ++i) differences[i] = after[i] - before[i];
  return bootstrap_mean(differences, settings);
}

Estimate paired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                      const Bootstrap& settings) {
  check_pairs("paired_ratio", numerator, denominator, 2);
  const auto n = static_cast<std::int64_t>(numerator.size());
  const RandomKey key = key_of(settings);
  const auto ratio = [](double above, double below) {
    require(below != 0, "paired_ratio: the denominator's mean is 0");
    return above / below;
  };
  return resample(ratio(sum(numerator), sum(denominator)), n, n, settings, [&](std::uint32_t r) {
    double above = 0, below = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto row = static_cast<std::size_t>(uniform_integer(key, r, n, static_cast<std::uint32_t>(i)));
      above += numerator[row];
      below += denominator[row];
    }
    return ratio(above, below);
  });
}

Estimate clustered_mean(std::span<const std::vector<double>> groups, const Bootstrap& settings) {
  require(groups.size() >= 2, "clustered_mean: got {} groups, needs at least 2", groups.size());
  std::vector<double> means;
  std::size_t largest = 0;
  std::int64_t draws = 0;
  for (const std::vector<double>& group : groups) {
    means.push_back(mean(group));
    largest = std::max(largest, group.size());
    draws += static_cast<std::int64_t>(group.size());
  }
  const auto count = static_cast<std::int64_t>(groups.size());
  const RandomKey key = key_of(settings);
  return resample(mean(means), count, draws, settings, [&](std::uint32_t r) {
    double total = 0;
    for (std::int64_t slot = 0; slot < count; ++slot) {
      const auto& group =
          groups[static_cast<std::size_t>(uniform_integer(key, r, count, static_cast<std::uint32_t>(slot)))];
      const auto size = static_cast<std::int64_t>(group.size());
      double inner = 0;
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t position = count + slot * static_cast<std::int64_t>(largest) + i;
        inner += group[static_cast<std::size_t>(uniform_integer(key, r, size, static_cast<std::uint32_t>(position)))];
      }
      total += inner / static_cast<double>(size);
    }
    return total / static_cast<double>(count);
  });
}

Line fit_line(std::span<const double> x, std::span<const double> y, double level) {
  check_pairs("fit_line", x, y, 3);
  require(level > 0 && level < 1, "fit_line: level is {}, expected between 0 and 1", level);
  const double x_mean = mean(x), y_mean = mean(y);
  double xx = 0, xy = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - x_mean) * (x[i] - x_mean);
    xy += (x[i] - x_mean) * (y[i] - y_mean);
    yy += (y[i] - y_mean) * (y[i] - y_mean);
  }
  require(xx > 0, "fit_line: all {} points have x = {}", x.size(), x[0]);
  Line line;
  line.n = static_cast<std::int64_t>(x.size());
  line.slope = xy / xx;
  line.intercept = y_mean - line.slope * x_mean;
  double residual = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = y[i] - y_mean - line.slope * (x[i] - x_mean);
    residual += error * error;
  }
  const auto degrees = static_cast<double>(line.n - 2);
  line.slope_error = std::sqrt(residual / degrees / xx);
  const double reach = student_t_quantile(1 - (1 - level) / 2, degrees) * line.slope_error;
  line.slope_low = line.slope - reach;
  line.slope_high = line.slope + reach;
  line.r_squared = yy > 0 ? 1 - residual / yy : 1;
  return line;
}

double student_t_quantile(double p, double degrees) {
  require(p > 0 && p < 1 && degrees > 0,
          "student_t_quantile: p is {} at {} degrees, expected 0 < p < 1 and degrees > 0", p, degrees);
  if (p == 0.5) return 0;
  if (p < 0.5) return -student_t_quantile(1 - p, degrees);
  const double tail = 1 - p;
  double low = 0, high = 1;
  while (student_t_tail(high, degrees) > tail) low = high, high *= 2;
  while (high - low > 1e-14 * high) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (student_t_tail(middle, degrees) > tail ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

}  // namespace tweedie
