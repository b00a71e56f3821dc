#include "diffusion/sampler_chunk.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "diffusion/per_sample.h"
#include "kernels/runtime/random.h"

namespace tweedie {

namespace {

Tensor stream_normals(const Shape& shape, std::span<const std::int64_t> samples, const RandomKey& key, Device device) {
  const Tensor noise = Tensor::empty(shape, device);
  const Tensor streams = Tensor::from_host(samples, {shape[0]}, device);
  fill_normal(
      noise.stream(),
      {.out = noise.array({shape[0], shape.count_between(1, shape.rank())}), .samples = streams.array(), .key = key});
  return noise;
}

void check_samples(std::string_view name, std::span<const std::int64_t> samples, std::int64_t rows) {
  require(static_cast<std::int64_t>(samples.size()) == rows, "{}: {} sample streams for {} states", name,
          samples.size(), rows);
  for (std::int64_t sample : samples)
    require(sample >= 0 && sample <= std::numeric_limits<std::uint32_t>::max(),
            "{}: sample stream {} is outside [0, 2^32)", name, sample);
}

/// Rows [first, first + count) of `tensor`, the last one repeated where it has no more.
Tensor rows_of(const Tensor& tensor, std::int64_t first, std::int64_t count) {
  const std::int64_t available = std::min(count, tensor.size(0) - first);
  if (first == 0 && available == tensor.size(0) && available == count) return tensor;
  std::vector<Tensor> parts{slice(tensor, 0, first, available)};
  for (std::int64_t row = available; row < count; ++row) parts.push_back(slice(tensor, 0, first + available - 1, 1));
  return parts.size() == 1 ? parts[0] : concatenate(parts, 0);
}

}  // namespace

SamplerState start_from_noise(const Process& process, const Shape& shape, std::vector<std::int64_t> samples,
                              std::uint64_t seed, Device device, const Tensor& labels, std::optional<double> t) {
  const NoGrad guard;
  Shape all{static_cast<std::int64_t>(samples.size())};
  for (std::int64_t extent : shape) all.append(extent);
  check_samples("start_from_noise", samples, all[0]);
  const double level = t.value_or(process.t_max());
  const Tensor noise = stream_normals(all, samples, {seed, Purpose::sampler_start, 0}, device);
  return {scale(noise, process.sigma(level)), level, std::move(samples), labels};
}

double sampling_start(const Process& process, const Parameterisation& answers) {
  const bool silent = answers.preconditioning == Parameterisation::Preconditioning::edm || answers.view == View::eps ||
                      answers.view == View::score || answers.time_input == TimeInput::log_sigma_over_4;
  return (process.alpha(process.t_max()) == 0.0 && silent ? 0.999 : 1.0) * process.t_max();
}

SamplerState start_from_data(const Process& process, const Tensor& clean, double t, std::vector<std::int64_t> samples,
                             std::uint64_t seed, const Tensor& labels) {
  const NoGrad guard;
  check_samples("start_from_data", samples, clean.size(0));
  const Tensor noise = stream_normals(clean.shape(), samples, {seed, Purpose::sampler_start, 0}, clean.device());
  return {add(scale(clean, process.alpha(t)), scale(noise, process.sigma(t))), t, std::move(samples), labels};
}

SamplerChunk::SamplerChunk(ScoreModel& model, const SamplerOptions& options, const SamplerState& state,
                           std::int64_t first)
    : z(rows_of(state.z, first, options.batch).detach()),
      t(state.t),
      model_(model),
      options_(options),
      wanted_(std::min(options.batch, state.z.size(0) - first)) {
  for (std::int64_t row = 0; row < options.batch; ++row)
    samples_.push_back(state.samples[static_cast<std::size_t>(first + std::min(row, wanted_ - 1))]);
  if (state.labels.defined()) labels_ = rows_of(state.labels, first, options.batch);
}

Tensor SamplerChunk::wanted(const Tensor& tensor) const {
  return wanted_ == rows() ? tensor : slice(tensor, 0, 0, wanted_);
}

Tensor SamplerChunk::predict(const Tensor& at, std::span<const double> t, View view) const {
  return model_.predict(at, t, view, labels_);
}

Tensor SamplerChunk::combined(double a, const Tensor& x, double b, const Tensor& y) const {
  const std::vector<double> as = same(a), bs = same(b);
  return combine({{as, x}, {bs, y}});
}

Tensor SamplerChunk::noise(std::int64_t step) const {
  return stream_normals(z.shape(), samples_, {options_.seed, Purpose::sampler_noise, static_cast<std::uint32_t>(step)},
                        z.device());
}

void SamplerChunk::show(std::int64_t step, std::int64_t steps, std::span<const double> t, const Tensor& answer,
                        View view) const {
  if (!options_.on_step) return;
  Tensor denoised;
  if (answer.defined()) {
    std::vector<double> p, q;
    for (double level : t) {
      const ViewConversion c = conversion(model_.process(), level, view, View::x0);
      p.push_back(c.p);
      q.push_back(c.q);
    }
    denoised = wanted(combine({{p, answer}, {q, z}}));
  }
  const auto count = static_cast<std::size_t>(wanted_);
  options_.on_step({step, steps, t.first(count), std::span(samples_).first(count), wanted(z), denoised});
}

double sampler_end(const Process& process, const SamplerOptions& options) {
  return options.t_end.value_or(process.t_min());
}

std::vector<double> sampler_times(std::string_view name, const Process& process, const SamplerState& start,
                                  const SamplerOptions& options) {
  if (options.times.empty()) {
    const double end = sampler_end(process, options);
    if (start.t <= end) return {start.t};
    return time_grid(process, options.grid, options.steps, start.t, end, options.rho);
  }
  require(options.times.front() == start.t, "{}: the first time is {}, but the state is at t = {}", name,
          options.times.front(), start.t);
  for (std::size_t i = 1; i < options.times.size(); ++i)
    require(options.times[i] < options.times[i - 1], "{}: times must fall, got {} after {}", name, options.times[i],
            options.times[i - 1]);
  return options.times;
}

Tensor sample_in_chunks(std::string_view name, ScoreModel& model, const SamplerState& start,
                        const SamplerOptions& options, const std::function<StepsMade(SamplerChunk&)>& body) {
  const NoGrad guard;
  const Process& process = model.process();
  require(start.z.defined() && start.z.rank() >= 2, "{}: states must be (N, ...), got {}", name,
          start.z.defined() ? start.z.shape().to_string() : "nothing");
  require(start.z.device() == model.device(), "{}: the states and the model are on different devices", name);
  check_samples(name, start.samples, start.z.size(0));
  require(!start.labels.defined() || start.labels.size(0) == start.z.size(0), "{}: {} labels for {} states", name,
          start.labels.defined() ? start.labels.size(0) : 0, start.z.size(0));
  require(options.batch > 0, "{}: batch {}, expected at least 1", name, options.batch);
  if (process.sigma(start.t) == 0.0 || start.z.size(0) == 0) return start.z.clone();

  std::vector<Tensor> results;
  for (std::int64_t first = 0; first < start.z.size(0); first += options.batch) {
    SamplerChunk chunk(model, options, start, first);
    const StepsMade steps = body(chunk);
    const bool denoise = options.denoise && process.sigma(chunk.t) > 0.0;
    const Tensor denoised = denoise ? chunk.predict(chunk.z, chunk.t, View::x0) : Tensor();
    chunk.show(steps.made, steps.shown, chunk.same(chunk.t), denoised, View::x0);
    const Tensor& result = denoise ? denoised : chunk.z;
    results.push_back(chunk.wanted(result));
    const std::int64_t bad = nonfinite_values(results.back());
    require(bad == 0, "{}: {} values of the samples from stream {} on are not finite", name, bad,
            start.samples[static_cast<std::size_t>(first)]);
  }
  return results.size() == 1 ? results[0] : concatenate(results, 0);
}

}  // namespace tweedie
