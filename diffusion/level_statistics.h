#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

/// Count, mean and spread of a quantity in equal bins of the noise level: a loss averaged over all levels hides which
/// levels it comes from. Sums are double and plain, so that they can be stored and taken up again bit for bit.
class LevelStatistics {
 public:
  struct Bin {
    double t_low = 0.0, t_high = 0.0;
    std::int64_t count = 0;
    double sum = 0.0, sum_of_squares = 0.0;
    double mean() const { return count > 0 ? sum / static_cast<double>(count) : 0.0; }
    /// Standard error of the mean; 0 below two values.
    double standard_error() const;
  };

  LevelStatistics(double t_min, double t_max, int bins = 10);
  void add(std::span<const double> t, std::span<const double> values);
  void clear();
  const std::vector<Bin>& bins() const { return bins_; }
  std::vector<Bin>& bins() { return bins_; }
  /// Over all levels.
  Bin total() const;

 private:
  std::vector<Bin> bins_;
};

}  // namespace tweedie
