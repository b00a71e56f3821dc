#include "experiments/common/plot_axis.h"

#include <cmath>

#include "experiments/common/gnuplot.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

std::string tick_label(double value) {
  const double exponent = std::log10(value);
  const bool power_of_ten = std::abs(exponent - std::round(exponent)) < 1e-9;
  if (value >= 1e-3 && value < 1e5) return fmt::format("{:.6g}", value);
  const int whole = static_cast<int>(std::floor(exponent + 1e-9));
  if (power_of_ten) return fmt::format("10^{{{}}}", whole);
  return fmt::format("{:.3g}·10^{{{}}}", value / std::pow(10.0, whole), whole);
}

}  // namespace

std::vector<double> logarithmic_ticks(double low, double high) {
  std::vector<double> ticks;
  const double decades = std::log10(high / low);
  const double slack = 1e-9;
  if (decades < 0.5) {
    const double rough = (high - low) / 5;
    const double unit = std::pow(10.0, std::floor(std::log10(rough)));
    const double step = unit * (rough / unit < 1.5 ? 1 : rough / unit < 3.5 ? 2 : rough / unit < 7.5 ? 5 : 10);
    for (double k = std::ceil(low / step - slack); k * step <= high * (1 + slack); ++k) ticks.push_back(k * step);
    return ticks;
  }
  const int first = static_cast<int>(std::floor(std::log10(low))), last = static_cast<int>(std::ceil(std::log10(high)));
  const int every = std::max(1, static_cast<int>(decades / 7));
  for (int k = first; k <= last; ++k) {
    if (decades > 3 && k % every != 0) continue;
    for (const double mantissa : {1.0, 2.0, 5.0}) {
      const double tick = mantissa * std::pow(10.0, k);
      if ((mantissa == 1 || decades <= 3) && tick >= low * (1 - slack) && tick <= high * (1 + slack)) {
        ticks.push_back(tick);
      }
    }
  }
  return ticks;
}

static std::string named_ticks(char name, const Axis& axis) {
  std::string ticks;
  for (const auto& [at, label] : axis.ticks)
    ticks += fmt::format("{}{} {:.17g}", ticks.empty() ? "" : ", ", gnuplot_text(label), at);
  return fmt::format("set {}tics ({})\n", name, ticks);
}

std::string axis_commands(char name, const Axis& axis, const Extent& extent) {
  double from = axis.from.value_or(extent.low), to = axis.to.value_or(extent.high);
  require(std::isfinite(from) && std::isfinite(to), "plot: axis '{}' has nothing to show", axis.label);
  std::string text = fmt::format("set {}label {}\n", name, gnuplot_text(axis.label));
  if (!axis.logarithmic) {
    // Room for marks at the edges; a single value gets an interval around it.
    const double room = to > from ? 0.03 * (to - from) : std::max(0.05 * std::abs(to), 1e-3);
    if (!axis.from) from -= room;
    if (!axis.to) to += room;
    require(from < to, "plot: axis '{}' runs from {} to {}", axis.label, from, to);
    return text +
           fmt::format("unset logscale {0}\nset {0}tics autofreq\nset {0}range [{1:.17g}:{2:.17g}]\n", name, from, to) +
           (axis.ticks.empty() ? "" : named_ticks(name, axis));
  }
  require(from > 0, "plot: the logarithmic axis '{}' cannot show {}", axis.label, from);
  const double room = to > from ? std::pow(to / from, 0.04) : 1.1;
  if (!axis.from) from /= room;
  if (!axis.to) to *= room;
  require(from < to, "plot: axis '{}' runs from {} to {}", axis.label, from, to);
  std::string ticks;
  for (const double tick : logarithmic_ticks(from, to)) {
    ticks += fmt::format("{}'{}' {:.17g}", ticks.empty() ? "" : ", ", tick_label(tick), tick);
  }
  return text +
         fmt::format("set logscale {0} 10\nset {0}tics ({1})\nset {0}range [{2:.17g}:{3:.17g}]\n", name, ticks, from,
                     to) +
         (axis.ticks.empty() ? "" : named_ticks(name, axis));
}

}  // namespace tweedie::experiments
