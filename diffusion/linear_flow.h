#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "diffusion/features.h"
#include "diffusion/point_set.h"
#include "diffusion/process.h"

namespace tweedie {

/// `steps` + 1 equidistant times from t_max down to t_min.
std::vector<double> falling_times(double t_max, double t_min, std::int64_t steps);

/// An Euler step of the probability-flow ODE from times[k] to times[k + 1] with the denoiser mu: z <- keep z + pull mu.
struct DenoiserStep {
  double keep = 1.0, pull = 0.0;
};
std::vector<DenoiserStep> euler_steps(const Process& process, std::span<const double> times);

/// Probability-flow samples of linear models with crossed features of one or two coordinates, by Euler steps; float32.
class LinearFlow {
 public:
  /// `look_up`: the denoiser stands on a grid (the same for both coordinates) and is taken at the nearest right grid
  /// point, clipped, as the notebooks of Vastola 2025 do; otherwise it is evaluated at the state itself. Throws Error
  /// for other dimensions than 1 and 2.
  LinearFlow(std::shared_ptr<const CrossedFeatures> features, const Process& process, std::vector<double> times,
             std::optional<FlowGrid> look_up = {});

  /// Moves the states from times.front() to times.back(). weights (d, F); state holds x (n), or x (n) then y (n).
  void run(std::span<const double> weights, std::span<float> state) const;
  const std::vector<double>& times() const { return times_; }

 private:
  std::vector<float> coefficients(std::span<const double> weights) const;
  void run_table(std::span<const float> coefficients, std::span<float> state) const;

  std::shared_ptr<const CrossedFeatures> features_;
  std::vector<double> times_;
  std::optional<FlowGrid> look_up_;
  std::vector<float> keep_;
  std::vector<double> time_features_;              // (K, T), multiplied with pull
  std::vector<std::vector<float>> grid_features_;  // one a coordinate: (its features, grid)
};

/// The same steps under the exact denoiser of a set of points on the line.
void run_exact_flow(const PointSet& set, const Process& process, std::span<const double> times,
                    const std::optional<FlowGrid>& look_up, std::span<float> state);

/// sigma(t) e with the normals e of (seed, Purpose::sampler_start, cell) and stream: where sampling starts.
std::vector<float> flow_start(const Process& process, double t, std::int64_t count, std::uint64_t seed,
                              std::uint32_t cell, std::int64_t stream);

}  // namespace tweedie
