#pragma once

#include <string>
#include <vector>

#include "experiments/common/plot.h"

namespace tweedie::experiments {

/// The smallest and the greatest of a set of numbers.
struct Extent {
  double low, high;
  bool empty() const { return !(low <= high); }
  void include(double value) {
    if (!(value >= low)) low = value;
    if (!(value <= high)) high = value;
  }
};

/// The positions of the labelled ticks of a logarithmic axis from `low` to `high`: powers of ten over a wide range,
/// 1-2-5 steps over a narrow one, even steps over less than half a decade.
std::vector<double> logarithmic_ticks(double low, double high);

/// gnuplot commands for range, scale, ticks and label of axis `name` ('x' or 'y') that shows `extent`.
std::string axis_commands(char name, const Axis& axis, const Extent& extent);

}  // namespace tweedie::experiments
