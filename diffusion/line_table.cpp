#include "diffusion/line_table.h"

#include <algorithm>

namespace tweedie {

double LineTable::at(std::size_t step, double x) const {
  const double place = std::clamp((x - from) / spacing, 0.0, static_cast<double>(count - 1));
  const auto left = std::min(static_cast<std::size_t>(place), static_cast<std::size_t>(count - 2));
  const double* row = values.data() + step * static_cast<std::size_t>(count);
  const double share = place - static_cast<double>(left);
  return (1.0 - share) * row[left] + share * row[left + 1];
}

LineTable tabulate(std::span<const double> times, const std::function<double(double x, double t)>& value) {
  LineTable table;
  for (std::size_t k = 0; k + 1 < times.size(); ++k)
    for (std::int64_t i = 0; i < table.count; ++i) table.values.push_back(value(table.x(i), times[k]));
  return table;
}

void run_table_flow(const Process& process, std::span<const double> times, const LineTable& mean,
                    std::span<float> state, const LineTable* deviation, const RandomKey& key,
                    std::uint32_t first_stream) {
  const std::vector<DenoiserStep> steps = euler_steps(process, times);
  for (std::size_t i = 0; i < state.size(); ++i) {
    double z = state[i];
    for (std::size_t k = 0; k < steps.size(); ++k) {
      double denoised = mean.at(k, z);
      if (deviation != nullptr)
        denoised += deviation->at(k, z) *
                    double{normal(key, first_stream + static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(k))};
      z = steps[k].keep * z + steps[k].pull * denoised;
    }
    state[i] = static_cast<float>(z);
  }
}

}  // namespace tweedie
