#include "diffusion/time_grid.h"

#include <array>
#include <cmath>

#include "kernels/runtime/error.h"

namespace tweedie {

namespace {
constexpr std::array names = {"uniform", "log-snr", "edm"};
}

std::string_view name_of(TimeGrid grid) {
  return names[static_cast<std::size_t>(grid)];
}

TimeGrid parse_time_grid(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (name == names[i]) return static_cast<TimeGrid>(i);
  throw UsageError(fmt::format("time grid: unknown name '{}', expected uniform, log-snr or edm", name));
}

std::vector<double> time_grid(const Process& process, TimeGrid grid, std::int64_t steps, double t_start, double t_end,
                              double rho) {
  require(steps > 0, "time grid: {} steps, expected at least 1", steps);
  require(t_start > t_end, "time grid: from t = {} to {}, expected a smaller end", t_start, t_end);
  require(rho > 0.0, "time grid edm: rho = {}, expected above 0", rho);
  const auto level = [&](double t) {
    if (grid == TimeGrid::uniform) return t;
    const double log_snr = process.log_snr(t);
    const double value = grid == TimeGrid::log_snr ? log_snr : std::exp(-0.5 * log_snr / rho);
    require(std::isfinite(value),
            "time grid {}: {} is infinite at t = {} of process {}; choose a time inside the range", name_of(grid),
            grid == TimeGrid::log_snr ? "the log-SNR" : "sigma/alpha", t, process.name());
    return value;
  };
  const auto time = [&](double value) {
    if (grid == TimeGrid::uniform) return value;
    return process.t_at_log_snr(grid == TimeGrid::log_snr ? value : -2.0 * rho * std::log(value));
  };
  const double first = level(t_start), last = level(t_end);
  std::vector<double> times(static_cast<std::size_t>(steps) + 1);
  for (std::int64_t i = 1; i < steps; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(steps);
    times[i] = time(first + part * (last - first));
  }
  times.front() = t_start;
  times.back() = t_end;
  return times;
}

}  // namespace tweedie
