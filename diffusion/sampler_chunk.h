#pragma once

#include <functional>

#include "diffusion/samplers.h"

namespace tweedie {

/// `batch` rows on their way through a sampler; the last ones may be copies that only fill it up.
class SamplerChunk {
 public:
  SamplerChunk(ScoreModel& model, const SamplerOptions& options, const SamplerState& state, std::int64_t first);

  std::int64_t rows() const { return z.size(0); }
  /// The rows that were asked for.
  Tensor wanted(const Tensor& tensor) const;
  /// One value for each row.
  std::vector<double> same(double value) const { return std::vector<double>(static_cast<std::size_t>(rows()), value); }

  Tensor predict(const Tensor& at, double t, View view) const { return predict(at, same(t), view); }
  Tensor predict(const Tensor& at, std::span<const double> t, View view) const;
  /// a x + b y (+ c w).
  Tensor combined(double a, const Tensor& x, double b, const Tensor& y) const;
  /// Standard normals of each row's stream at `step`.
  Tensor noise(std::int64_t step) const;
  /// Calls on_step. `answer` is the model's at (z, t) in `view`; undefined where it was not asked.
  void show(std::int64_t step, std::int64_t steps, std::span<const double> t, const Tensor& answer, View view) const;

  Tensor z;
  double t;

 private:
  ScoreModel& model_;
  const SamplerOptions& options_;
  std::vector<std::int64_t> samples_;
  std::int64_t wanted_;
  Tensor labels_;
};

/// Splits the state into chunks, runs `body` on each, denoises, and puts the results together. `body` leaves chunk.z
/// and chunk.t where the sampler ended and returns the number of steps it made and the number it shows.
struct StepsMade {
  std::int64_t made = 0, shown = 0;
};
Tensor sample_in_chunks(std::string_view name, ScoreModel& model, const SamplerState& start,
                        const SamplerOptions& options, const std::function<StepsMade(SamplerChunk&)>& body);

/// The times of a sampler with fixed steps: options.times or its grid from the state's t.
std::vector<double> sampler_times(std::string_view name, const Process& process, const SamplerState& start,
                                  const SamplerOptions& options);
/// Where to end: options.t_end or the process's t_min.
double sampler_end(const Process& process, const SamplerOptions& options);

}  // namespace tweedie
