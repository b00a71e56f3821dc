#include "diffusion/score_probe.h"

#include <cmath>
#include <numeric>

#include "kernels/runtime/random.h"
#include "nn/io/npz.h"

namespace tweedie {

ProbeStates noised_states(std::string region, const DeviceImages& images, const Process& process,
                          std::span<const double> t, std::int64_t count, std::uint64_t seed) {
  require(count >= 1 && images.count() >= 1, "probe: {} states of {} images", count, images.count());
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count)), streams(indices.size());
  std::iota(streams.begin(), streams.end(), 0);
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = streams[i] % images.count();
  ProbeStates states{.region = std::move(region), .t = {t.begin(), t.end()}, .z = {}};
  for (const double level : t) {
    const std::vector<double> levels(indices.size(), level);
    states.z.push_back(noised_images(images, process, indices, levels,
                                     {.seed = seed, .purpose = Purpose::probe_noise, .step = 0}, streams));
  }
  return states;
}

ProbeReference reference_at(ProbeStates states, const EmpiricalScore& empirical, const Process& process) {
  ProbeReference reference;
  const auto n = static_cast<std::size_t>(states.count());
  for (std::size_t level = 0; level < states.t.size(); ++level) {
    const double alpha = process.alpha(states.t[level]), sigma = process.sigma(states.t[level]);
    const std::vector<float> z = states.z[level].to_host();
    const std::size_t d = z.size() / n;
    const std::vector<float> alphas(n, static_cast<float>(alpha)), sigmas(n, static_cast<float>(sigma));
    const EmpiricalResult result = empirical.evaluate(z, alphas, sigmas);
    reference.posterior_mean.insert(reference.posterior_mean.end(), result.x0.begin(), result.x0.end());
    for (std::size_t i = 0; i < n; ++i) {
      double norm = 0.0;
      for (std::size_t j = 0; j < d; ++j) {
        const double score = static_cast<double>(result.score[i * d + j]);
        norm += score * score;
      }
      const double unit = sigma * sigma / static_cast<double>(d);
      reference.norm.push_back(unit * norm);
      reference.trace.push_back(unit * result.trace_cov[i]);
      reference.r_star.push_back(result.r_star[i]);
      reference.entropy.push_back(result.entropy[i]);
      reference.nearest.push_back(result.nearest[i]);
    }
  }
  reference.states = std::move(states);
  return reference;
}

ProbeReference reference_at(ProbeStates states, ScoreModel& model) {
  const NoGrad guard;
  ProbeReference reference;
  const auto n = static_cast<std::size_t>(states.count());
  for (std::size_t level = 0; level < states.t.size(); ++level) {
    const std::vector<double> levels(n, states.t[level]);
    const std::vector<float> x0 = model.predict(states.z[level], levels, View::x0).to_host();
    const std::vector<double> noise = model.predict(states.z[level], levels, View::eps).to_host_double();
    reference.posterior_mean.insert(reference.posterior_mean.end(), x0.begin(), x0.end());
    const std::size_t d = noise.size() / n;
    for (std::size_t i = 0; i < n; ++i) {
      double norm = 0.0;
      for (std::size_t j = i * d; j < (i + 1) * d; ++j) norm += noise[j] * noise[j] / static_cast<double>(d);
      reference.norm.push_back(norm);
    }
  }
  reference.states = std::move(states);
  return reference;
}

ProbeRecords probe(ScoreModel& model, const ProbeReference& reference) {
  const NoGrad guard;
  const ProbeStates& states = reference.states;
  const Process& process = model.process();
  const auto n = static_cast<std::size_t>(states.count());
  ProbeRecords records{.region = states.region, .t = states.t, .count = states.count(), .error = {}, .v_error = {}};
  for (std::size_t level = 0; level < states.t.size(); ++level) {
    const double t = states.t[level];
    const std::vector<double> levels(n, t);
    const std::vector<float> x0 = model.predict(states.z[level], levels, View::x0).to_host();
    const std::size_t d = x0.size() / n;
    const double to_eps = error_factor(process, t, View::x0, View::eps);
    const double to_v = error_factor(process, t, View::x0, View::v);
    const std::span<const float> expected = std::span(reference.posterior_mean).subspan(level * n * d, n * d);
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0.0;
      for (std::size_t j = i * d; j < (i + 1) * d; ++j) {
        const double difference = static_cast<double>(x0[j]) - expected[j];
        sum += difference * difference;
      }
      records.error.push_back(to_eps * sum / static_cast<double>(d));
      records.v_error.push_back(to_v * sum / static_cast<double>(d));
    }
  }
  return records;
}

namespace {

std::vector<double> mean_over_levels(const std::vector<double>& values, std::size_t levels, std::size_t n) {
  std::vector<double> means(n);
  for (std::size_t level = 0; level < levels; ++level)
    for (std::size_t i = 0; i < n; ++i) means[i] += values[level * n + i] / static_cast<double>(levels);
  return means;
}

}  // namespace

std::vector<double> ProbeRecords::error_by_sample() const {
  return mean_over_levels(error, t.size(), static_cast<std::size_t>(count));
}

std::vector<double> ProbeRecords::v_error_by_sample() const {
  return mean_over_levels(v_error, t.size(), static_cast<std::size_t>(count));
}

std::span<const double> ProbeRecords::at_level(std::size_t level) const {
  const auto n = static_cast<std::size_t>(count);
  return std::span(error).subspan(level * n, n);
}

void write_records(const std::filesystem::path& file, const ProbeReference& reference, const ProbeRecords& records) {
  const Shape shape{static_cast<std::int64_t>(records.t.size()), records.count};
  const std::vector<io::ArrayView> arrays = {
      io::view_of("t", records.t, {shape[0]}),          io::view_of("error", records.error, shape),
      io::view_of("v_error", records.v_error, shape),   io::view_of("r_star", reference.r_star, shape),
      io::view_of("entropy", reference.entropy, shape), io::view_of("trace", reference.trace, shape),
      io::view_of("norm", reference.norm, shape),       io::view_of("nearest", reference.nearest, shape)};
  io::write_npz(file, arrays);
}

}  // namespace tweedie
