#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduction.h"
#include "diffusion/dormand_prince.h"
#include "diffusion/per_sample.h"
#include "diffusion/sampler_chunk.h"

namespace tweedie {

namespace {

using namespace dormand_prince;

std::vector<double> scaled(std::span<const double> values, double factor) {
  std::vector<double> out(values.begin(), values.end());
  for (double& value : out) value *= factor;
  return out;
}

/// start + sum_j h weights[j] slopes[j], h one step length a row.
Tensor advanced(const Tensor& start, std::span<const double> h, std::span<const double> weights,
                std::span<const Tensor> slopes) {
  Tensor out = start;
  const std::vector<double> ones(h.size(), 1.0);
  for (std::size_t j = 0; j < slopes.size(); ++j) {
    if (weights[j] == 0.0) continue;
    const std::vector<double> factors = scaled(h, weights[j]);
    out = out.defined() ? combine({{ones, out}, {factors, slopes[j]}}) : combine({{factors, slopes[j]}});
  }
  return out;
}

/// The root mean square of each row.
std::vector<double> row_norms(const Tensor& x) {
  std::vector<double> norms = mean(square(x), 1, x.rank()).to_host_double();
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

/// Row n of `yes` where choose[n], else of `no`. Values that are not chosen must be finite.
Tensor selected(const std::vector<double>& choose, const Tensor& yes, const Tensor& no) {
  std::vector<double> others;
  for (double value : choose) others.push_back(1.0 - value);
  return combine({{choose, yes}, {others, no}});
}

/// Integrates all rows of a chunk to t_end, each with its own steps. Rows that have arrived stay where they are.
class Integration {
 public:
  Integration(SamplerChunk& chunk, double t_end, const SamplerOptions& options)
      : chunk_(chunk),
        options_(options),
        t_end_(t_end),
        t_(chunk.same(chunk.t)),
        length_(chunk.same((chunk.t - t_end) / 100.0)),
        slope_(chunk.predict(chunk.z, chunk.t, View::v)) {}

  std::int64_t run() {
    std::int64_t step = 0;
    for (; std::ranges::any_of(t_, [&](double t) { return t > t_end_; }); ++step) {
      require(step < options_.most_steps,
              "dopri5: t_end = {} not reached within {} steps: loosen the tolerances or end at a larger t", t_end_,
              options_.most_steps);
      chunk_.show(step, 0, t_, slope_, View::v);
      attempt();
    }
    return step;
  }

 private:
  void attempt() {
    const std::size_t rows = t_.size();
    std::vector<double> h(rows), after(rows);
    for (std::size_t n = 0; n < rows; ++n) {
      after[n] = std::max(t_end_, t_[n] - length_[n]);
      h[n] = after[n] - t_[n];
    }
    std::vector<Tensor> slopes{slope_};
    Tensor next;
    for (int stage = 1; stage < stages; ++stage) {
      next = advanced(chunk_.z, h, tableau[stage], slopes);
      std::vector<double> times(rows);
      for (std::size_t n = 0; n < rows; ++n) times[n] = nodes[stage] == 1.0 ? after[n] : t_[n] + nodes[stage] * h[n];
      slopes.push_back(chunk_.predict(next, times, View::v));
    }
    const std::vector<double> errors = row_norms(advanced({}, h, error_weights, slopes));
    const std::vector<double> before_norms = row_norms(chunk_.z), after_norms = row_norms(next);
    std::vector<double> accepted(rows);
    for (std::size_t n = 0; n < rows; ++n) {
      require(std::isfinite(errors[n]) && std::isfinite(after_norms[n]), "dopri5: a state is not finite near t = {}",
              after[n]);
      const double tolerance =
          options_.absolute_tolerance + options_.relative_tolerance * std::max(before_norms[n], after_norms[n]);
      const double ratio = errors[n] / tolerance;
      accepted[n] = ratio <= 1.0 ? 1.0 : 0.0;
      if (t_[n] > t_end_) length_[n] = -h[n] * (accepted[n] == 1.0 ? growth(ratio) : std::min(growth(ratio), 1.0));
      if (accepted[n] == 1.0) t_[n] = after[n];
    }
    chunk_.z = selected(accepted, next, chunk_.z);
    slope_ = selected(accepted, slopes.back(), slope_);
  }

  SamplerChunk& chunk_;
  const SamplerOptions& options_;
  double t_end_;
  std::vector<double> t_, length_;
  Tensor slope_;
};

}  // namespace

double dormand_prince::growth(double ratio) {
  return std::clamp(0.9 * std::pow(std::max(ratio, 1e-10), -0.2), 0.2, 5.0);
}

Tensor dopri5(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  require(options.times.empty(), "dopri5: chooses its own times, but some were given");
  require(options.relative_tolerance > 0.0 && options.absolute_tolerance > 0.0,
          "dopri5: tolerances {} (relative) and {} (absolute), expected both above 0", options.relative_tolerance,
          options.absolute_tolerance);
  const double t_end = sampler_end(model.process(), options);
  return sample_in_chunks("dopri5", model, start, options, [&](SamplerChunk& chunk) {
    if (chunk.t <= t_end) return StepsMade{};
    const std::int64_t steps = Integration(chunk, t_end, options).run();
    chunk.t = t_end;
    return StepsMade{steps, 0};
  });
}

}  // namespace tweedie
