#pragma once

#include <functional>
#include <span>
#include <vector>

#include "diffusion/linear_flow.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// A function of (x, k) on the line, k counting Euler steps, on an equidistant grid; between grid points linear, beyond
/// them constant.
struct LineTable {
  double from = -4.0, spacing = 0.02;
  std::int64_t count = 401;
  std::vector<double> values;  // (K, count)
  double x(std::int64_t i) const { return from + spacing * static_cast<double>(i); }
  double at(std::size_t step, double x) const;
};

/// value(x, t) at the grid points and the times a step begins at.
LineTable tabulate(std::span<const double> times, const std::function<double(double x, double t)>& value);

/// Euler steps of the probability-flow ODE under the denoiser `mean`; with `deviation`, a standard deviation of the
/// denoiser, each sample and step draws its own noise: z <- keep z + pull (mean + deviation xi), xi of (key,
/// first_stream + sample, step).
void run_table_flow(const Process& process, std::span<const double> times, const LineTable& mean,
                    std::span<float> state, const LineTable* deviation = nullptr, const RandomKey& key = {},
                    std::uint32_t first_stream = 0);

}  // namespace tweedie
