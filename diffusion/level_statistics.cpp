#include "diffusion/level_statistics.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/error.h"

namespace tweedie {

double LevelStatistics::Bin::standard_error() const {
  if (count < 2) return 0.0;
  const double n = static_cast<double>(count);
  return std::sqrt(std::max(0.0, (sum_of_squares - sum * sum / n) / (n - 1.0) / n));
}

LevelStatistics::LevelStatistics(double t_min, double t_max, int bins) {
  require(bins > 0 && t_max > t_min, "level statistics: {} bins over [{}, {}]", bins, t_min, t_max);
  for (int i = 0; i < bins; ++i) {
    const double width = (t_max - t_min) / bins;
    bins_.push_back({.t_low = t_min + i * width, .t_high = t_min + (i + 1) * width});
  }
}

void LevelStatistics::add(std::span<const double> t, std::span<const double> values) {
  require(t.size() == values.size(), "level statistics: {} levels for {} values", t.size(), values.size());
  const double low = bins_.front().t_low, high = bins_.back().t_high;
  const auto last = static_cast<std::int64_t>(bins_.size()) - 1;
  for (std::size_t i = 0; i < t.size(); ++i) {
    const auto position = static_cast<std::int64_t>((t[i] - low) / (high - low) * static_cast<double>(bins_.size()));
    Bin& bin = bins_[static_cast<std::size_t>(std::clamp<std::int64_t>(position, 0, last))];
    ++bin.count;
    bin.sum += values[i];
    bin.sum_of_squares += values[i] * values[i];
  }
}

void LevelStatistics::clear() {
  for (Bin& bin : bins_) bin.count = 0, bin.sum = 0.0, bin.sum_of_squares = 0.0;
}

LevelStatistics::Bin LevelStatistics::total() const {
  Bin total{.t_low = bins_.front().t_low, .t_high = bins_.back().t_high};
  for (const Bin& bin : bins_) {
    total.count += bin.count;
    total.sum += bin.sum;
    total.sum_of_squares += bin.sum_of_squares;
  }
  return total;
}

}  // namespace tweedie
