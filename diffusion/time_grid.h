#pragma once

#include <string_view>
#include <vector>

#include "diffusion/process.h"

namespace tweedie {

/// Where a sampler with a fixed number of steps evaluates.
enum class TimeGrid {
  uniform,  // "uniform": equal steps of t
  log_snr,  // "log-snr": equal steps of log(alpha^2/sigma^2)
  edm,      // "edm": equal steps of (sigma/alpha)^(1/rho), rho = 7 (Karras et al. 2022, eq. 5, between any two levels)
};
std::string_view name_of(TimeGrid grid);
/// Throws UsageError for an unknown name.
TimeGrid parse_time_grid(std::string_view name);

/// steps + 1 times from t_start down to t_end, the two themselves exactly. Throws Error unless steps > 0 and
/// t_start > t_end, and for log_snr (edm) where the log-SNR (sigma/alpha) is infinite at an end.
std::vector<double> time_grid(const Process& process, TimeGrid grid, std::int64_t steps, double t_start, double t_end,
                              double rho = 7.0);

}  // namespace tweedie
