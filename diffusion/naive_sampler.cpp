#include "diffusion/naive_sampler.h"

#include <cmath>
#include <span>

#include "diffusion/linear_flow.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

/// noise(weights, mean, stream, step): a deviation of x0 from its posterior mean, which sqrt(kappa / h) scales. (A step
/// is linear in the denoiser, and s~ - s* = alpha/sigma^2 (x0 - mean).)
template <class Noise>
std::vector<float> sample(const PointSet& set, const NoisySamplerPlan& plan, Noise&& noise) {
  require(set.dimension() == 1, "noisy sampler: points of dimension {}, expected 1", set.dimension());
  require(plan.kappa >= 0.0 && plan.count > 0, "noisy sampler: kappa {} and {} samples", plan.kappa, plan.count);
  const std::vector<double> times = falling_times(plan.t_max, plan.t_min, plan.steps);
  const std::vector<DenoiserStep> steps = euler_steps(plan.process, times);
  std::vector<double> alpha, sigma, scale;
  for (std::size_t k = 0; k < steps.size(); ++k) {
    alpha.push_back(plan.process.alpha(times[k]));
    sigma.push_back(plan.process.sigma(times[k]));
    scale.push_back(std::sqrt(plan.kappa / (times[k] - times[k + 1])));
  }
  std::vector<float> samples(static_cast<std::size_t>(plan.count));
  const double start = plan.process.sigma(plan.t_max);
  parallel_for(plan.count, 256, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> weights(static_cast<std::size_t>(set.count()));
    for (std::int64_t i = first; i < last; ++i) {
      const std::uint32_t stream = plan.first_stream + static_cast<std::uint32_t>(i);
      double z = start * double{normal({plan.seed, Purpose::sampler_start, 0}, stream)};
      for (std::size_t k = 0; k < steps.size(); ++k) {
        set.weigh({&z, 1}, alpha[k], sigma[k], weights);
        double mean = 0.0;
        for (std::size_t j = 0; j < weights.size(); ++j) mean += weights[j] * set.points()[j];
        const double deviation = noise(weights, mean, stream, static_cast<std::uint32_t>(k));
        z = steps[k].keep * z + steps[k].pull * (mean + scale[k] * deviation);
      }
      samples[static_cast<std::size_t>(i)] = static_cast<float>(z);
    }
  });
  return samples;
}

}  // namespace

std::vector<float> naive_samples(const PointSet& set, const NoisySamplerPlan& plan) {
  const RandomKey key{plan.seed, Purpose::target_choice, 0};
  return sample(set, plan, [&](std::span<const double> weights, double mean, std::uint32_t stream, std::uint32_t step) {
    double rest = uniform(key, stream, step);
    std::size_t source = 0;
    while (source + 1 < weights.size() && (rest -= weights[source]) > 0.0) ++source;
    return set.points()[source] - mean;
  });
}

std::vector<float> effective_sde_samples(const PointSet& set, const NoisySamplerPlan& plan) {
  const RandomKey key{plan.seed, Purpose::sampler_noise, 0};
  return sample(set, plan, [&](std::span<const double> weights, double mean, std::uint32_t stream, std::uint32_t step) {
    double variance = 0.0;
    for (std::size_t j = 0; j < weights.size(); ++j) variance += weights[j] * std::pow(set.points()[j] - mean, 2);
    return std::sqrt(variance) * double{normal(key, stream, step)};
  });
}

}  // namespace tweedie
