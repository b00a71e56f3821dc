#pragma once

#include <cstdint>
#include <vector>

#include "diffusion/point_set.h"
#include "diffusion/process.h"

namespace tweedie {

/// A sampler on the line that is driven by the noise of the denoising target (Vastola 2025, section 4), from N(0,
/// sigma(t_max)^2) by `steps` equal steps of t down to t_min.
struct NoisySamplerPlan {
  Process process = Process::vp();
  double t_max = 1.0, t_min = 1e-2;
  std::int64_t steps = 100;
  double kappa = 0.1;  // 0: the probability-flow ODE
  std::int64_t count = 20000;
  std::uint64_t seed = 0;
  std::uint32_t first_stream = 0;  // sample i has the random stream first_stream + i
};

/// The naive estimator: each step of length h draws x0 from the posterior at the state, forms the proxy score s~ =
/// (alpha x0 - z)/sigma^2 and moves along s* + sqrt(kappa/h) (s~ - s*) in the place of the score. Throws Error for
/// points that are not on the line, and kappa < 0.
std::vector<float> naive_samples(const PointSet& set, const NoisySamplerPlan& plan);

/// Its limit for small steps (Proposition 4.1): the probability-flow ODE with Ito noise of covariance kappa D C D, D =
/// g^2/2 and C the covariance of the proxy score; by Euler and Maruyama.
std::vector<float> effective_sde_samples(const PointSet& set, const NoisySamplerPlan& plan);

}  // namespace tweedie
