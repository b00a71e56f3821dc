#include "diffusion/samplers.h"

#include <array>
#include <cmath>
#include <memory>

#include "diffusion/sampler_chunk.h"

namespace tweedie {

namespace {

/// One step from chunk.t to `next`, given its number: returns the new state. `show` is called with the model's answer,
/// which is shown once the step is made.
using Step = std::function<Tensor(SamplerChunk& chunk, std::int64_t step, double next,
                                  const std::function<void(const Tensor& answer, View view)>& show)>;

Tensor fixed_steps(std::string_view name, ScoreModel& model, const SamplerState& start, const SamplerOptions& options,
                   const std::function<Step()>& make_step) {
  const std::vector<double> times = sampler_times(name, model.process(), start, options);
  const auto steps = static_cast<std::int64_t>(times.size()) - 1;
  return sample_in_chunks(name, model, start, options, [&](SamplerChunk& chunk) {
    const Step step = make_step();
    const std::unique_ptr<Graph> graph = options.graph ? default_stream(model.device()).make_graph() : nullptr;
    for (std::int64_t k = 0; k < steps; ++k) {
      Tensor answer, next;
      View view = View::v;
      const auto keep = [&](const Tensor& model_answer, View answer_view) {
        answer = model_answer;
        view = answer_view;
      };
      const auto advance = [&] { next = step(chunk, k, times[k + 1], keep); };
      if (graph)
        graph->run(advance);
      else
        advance();
      chunk.show(k, steps, chunk.same(chunk.t), answer, view);
      chunk.z = next;
      chunk.t = times[k + 1];
    }
    return StepsMade{steps, steps};
  });
}

}  // namespace

Tensor euler(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  return fixed_steps("euler", model, start, options, [] {
    return [](SamplerChunk& chunk, std::int64_t, double next, const auto& show) {
      const Tensor v = chunk.predict(chunk.z, chunk.t, View::v);
      show(v, View::v);
      return chunk.combined(1.0, chunk.z, next - chunk.t, v);
    };
  });
}

Tensor heun(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  return fixed_steps("heun", model, start, options, [&model] {
    return [&model](SamplerChunk& chunk, std::int64_t, double next, const auto& show) {
      const double h = next - chunk.t;
      const Tensor v = chunk.predict(chunk.z, chunk.t, View::v);
      show(v, View::v);
      const Tensor ahead = chunk.combined(1.0, chunk.z, h, v);
      if (model.process().sigma(next) == 0.0) return ahead;
      const Tensor v_ahead = chunk.predict(ahead, next, View::v);
      return chunk.combined(1.0, chunk.combined(1.0, chunk.z, 0.5 * h, v), 0.5 * h, v_ahead);
    };
  });
}

Tensor dpm_solver_pp_2m(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  const Process& process = model.process();
  return fixed_steps("dpm++2m", model, start, options, [&process] {
    return [&process, previous = Tensor(), previous_h = 0.0](SamplerChunk& chunk, std::int64_t, double next,
                                                             const auto& show) mutable {
      const Tensor denoised = chunk.predict(chunk.z, chunk.t, View::x0);
      show(denoised, View::x0);
      // Steps of log(alpha/sigma), infinite where alpha = 0 before or sigma = 0 after.
      const double h = 0.5 * (process.log_snr(next) - process.log_snr(chunk.t));
      Tensor extrapolated = denoised;
      if (previous.defined() && std::isfinite(h)) {
        const double half_ratio = 0.5 * h / previous_h;
        extrapolated = chunk.combined(1.0 + half_ratio, denoised, -half_ratio, previous);
      }
      previous = denoised;
      previous_h = h;
      return chunk.combined(process.sigma(next) / process.sigma(chunk.t), chunk.z,
                            -process.alpha(next) * std::expm1(-h), extrapolated);
    };
  });
}

Tensor euler_maruyama(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  const Process& process = model.process();
  const double noise_scale = options.noise_scale;
  require(noise_scale >= 0.0, "euler-maruyama: noise scale {}, expected at least 0", noise_scale);
  require(
      process.alpha(start.t) > 0.0 || noise_scale == 0.0,
      "euler-maruyama: the noise of process {} is infinite at t = {}, where alpha = 0; start from a smaller t, or use "
      "the ancestral sampler",
      process.name(), start.t);
  return fixed_steps("euler-maruyama", model, start, options, [&process, noise_scale] {
    return [&process, noise_scale](SamplerChunk& chunk, std::int64_t step, double next, const auto& show) {
      const double t = chunk.t, h = next - t;
      const Tensor v = chunk.predict(chunk.z, t, View::v);
      show(v, View::v);
      if (noise_scale == 0.0) return chunk.combined(1.0, chunk.z, h, v);
      // -c g^2/2 score in terms of v and z.
      const ViewConversion score = conversion(process, t, View::v, View::score);
      const double half_noise = 0.5 * noise_scale * process.g2(t);
      const Tensor moved = chunk.combined(1.0 - h * half_noise * score.q, chunk.z, h * (1.0 - half_noise * score.p), v);
      return chunk.combined(1.0, moved, std::sqrt(-2.0 * h * half_noise), chunk.noise(step));
    };
  });
}

Tensor ancestral(ScoreModel& model, const SamplerState& start, const SamplerOptions& options) {
  const Process& process = model.process();
  const double eta = options.noise_scale;
  require(eta >= 0.0 && eta <= 1.0, "ancestral: noise scale (eta) {}, expected 0 to 1", eta);
  return fixed_steps("ancestral", model, start, options, [&process, eta] {
    return [&process, eta](SamplerChunk& chunk, std::int64_t step, double next, const auto& show) {
      const Tensor denoised = chunk.predict(chunk.z, chunk.t, View::x0);
      show(denoised, View::x0);
      // With r = alpha_t sigma_s/(alpha_s sigma_t): variance eta^2 sigma_s^2 (1 - r^2), and what is left of the
      // predicted noise e = (z - alpha_t x^)/sigma_t keeps the marginal's variance sigma_s^2.
      const double log_r2 = process.log_snr(chunk.t) - process.log_snr(next);
      const double variance = -eta * eta * std::expm1(log_r2);
      const double sigma = process.sigma(next);
      const double kept = sigma * std::sqrt(1.0 - variance) / process.sigma(chunk.t);
      const Tensor mean = chunk.combined(kept, chunk.z, process.alpha(next) - kept * process.alpha(chunk.t), denoised);
      if (variance == 0.0 || sigma == 0.0) return mean;
      return chunk.combined(1.0, mean, sigma * std::sqrt(variance), chunk.noise(step));
    };
  });
}

namespace {
struct Named {
  std::string_view name;
  Sampler sampler;
};
constexpr std::array<Named, 6> samplers = {{{"euler", &euler},
                                            {"heun", &heun},
                                            {"dpm++2m", &dpm_solver_pp_2m},
                                            {"dopri5", &dopri5},
                                            {"euler-maruyama", &euler_maruyama},
                                            {"ancestral", &ancestral}}};
}  // namespace

Sampler sampler_named(std::string_view name) {
  std::string known;
  for (const Named& entry : samplers) {
    if (entry.name == name) return entry.sampler;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UsageError(fmt::format("sampler: unknown name '{}', expected one of {}", name, known));
}

std::vector<std::string_view> sampler_names() {
  std::vector<std::string_view> names;
  for (const Named& entry : samplers) names.push_back(entry.name);
  return names;
}

}  // namespace tweedie
