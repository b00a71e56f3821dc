#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "diffusion/score_model.h"
#include "diffusion/time_grid.h"

namespace tweedie {

// Samplers integrate from a noisy state down to data: the probability-flow ODE dz/dt = v(z, t), or the reverse SDE with
// the same marginals. They all have one signature and take any score model on any process.

/// States to start from: all at one noise level.
struct SamplerState {
  Tensor z;                           // (N, ...), rank 2 at least, on the model's device
  double t = 0.0;                     // at 0 every sampler returns z as it is
  std::vector<std::int64_t> samples;  // (N): the random stream of each row, 0 to 2^32 - 1
  Tensor labels;                      // as ScoreModel::predict takes them
};

/// z = sigma(t) e with the normals e of (seed, Purpose::sampler_start, sample), the prior of every process at its noisy
/// end; shape is that of one sample. t is process.t_max() unless given.
SamplerState start_from_noise(const Process& process, const Shape& shape, std::vector<std::int64_t> samples,
                              std::uint64_t seed, Device device, const Tensor& labels = {},
                              std::optional<double> t = {});
/// Where sampling with such a network begins: t_max, or 0.999 of it where alpha is 0 there and the network says nothing
/// of the clean image: it answers eps or score, or its preconditioning or time input is infinite.
double sampling_start(const Process& process, const Parameterisation& answers);
/// z = alpha(t) x + sigma(t) e of clean states x (N, ...) with the same normals: what a restart begins with.
SamplerState start_from_data(const Process& process, const Tensor& clean, double t, std::vector<std::int64_t> samples,
                             std::uint64_t seed, const Tensor& labels = {});

/// What a sampler shows: states and the model's answer there.
struct SamplerStep {
  std::int64_t step = 0;                  // 0 at the start; `steps` at t_end, before the final denoising
  std::int64_t steps = 0;                 // dopri5: 0, not known
  std::span<const double> t;              // of each row
  std::span<const std::int64_t> samples;  // of each row: their streams
  const Tensor& z;
  const Tensor& denoised;  // the model's E[x | z, t]; undefined at t_end where the model was not asked
};

struct SamplerOptions {
  std::int64_t steps = 50;
  TimeGrid grid = TimeGrid::uniform;
  double rho = 7.0;                  // of TimeGrid::edm
  std::vector<double> times = {};    // falling times instead of a grid; the first must be the state's
  std::optional<double> t_end = {};  // process.t_min() unless given; ignored with `times`
  /// Replace the state at t_end by E[x | z, t_end], the step to 0 that every sampler of first order would make.
  bool denoise = true;
  std::uint64_t seed = 0;
  /// Of euler_maruyama and ancestral: 1 is the reverse SDE, 0 the ODE.
  double noise_scale = 1.0;
  double relative_tolerance = 1e-3, absolute_tolerance = 1e-4;  // dopri5
  std::int64_t most_steps = 10'000;                             // dopri5: more is an Error
  /// Rows that go through the model at once. Smaller numbers of samples are filled up to it, so that every sample's
  /// arithmetic is the same whatever runs beside it.
  std::int64_t batch = 16;
  /// Give each step to the device as one graph (Graph); dopri5 does not, and models that compute on the host cannot.
  bool graph = false;
  /// Called in order for each chunk of `batch` samples (the filling is not shown).
  std::function<void(const SamplerStep&)> on_step = {};
};

/// Returns the samples, in the order of the state. Randomness is keyed by (seed, step, stream of the sample), and the
/// model always sees `batch` rows: for equal options, device and thread count sample i has the same bits whatever other
/// samples are made in the same call or order. (With another `batch` the noise is the same, but matrix libraries may
/// round differently.) Recorded on no tape. Throws Error for states that do not fit, times outside the process's range,
/// views that the model cannot give at t_start (eps at alpha = 0), and results that are not finite.
using Sampler = Tensor (*)(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);

/// Explicit Euler on dz/dt = v: first order, one evaluation a step.
Tensor euler(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);
/// Heun's second-order method: Algorithm 1 of Karras et al. 2022 for any process, two evaluations a step. A step that
/// ends at sigma = 0 is an Euler step, as there.
Tensor heun(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);
/// DPM-Solver++(2M) of Lu et al. 2022 (Algorithm 2): second-order multistep in log-SNR on the denoiser, one evaluation
/// a step. The first step, and one that ends at sigma = 0, are of first order (DDIM).
Tensor dpm_solver_pp_2m(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);
/// Dormand & Prince 1980, order 5(4), with a step size of its own for each sample: error (root mean square over the
/// sample) <= absolute_tolerance + relative_tolerance max(|z|, |z_new|). Ignores steps and grid.
Tensor dopri5(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);
/// Euler-Maruyama on dz = (v - c g^2/2 score) dt + sqrt(c) g dW backwards (Song et al. 2021), c = noise_scale. Needs
/// alpha > 0 at the start.
Tensor euler_maruyama(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);
/// The posterior q(z_s | z_t, x) with x replaced by the denoiser: DDPM's sampler (Ho et al. 2020) on any process; with
/// noise_scale = eta the family of DDIM (Song et al. 2021, eq. 12). Exact noise for steps of any length, alpha = 0
/// included.
Tensor ancestral(ScoreModel& model, const SamplerState& start, const SamplerOptions& options);

/// "euler", "heun", "dpm++2m", "dopri5", "euler-maruyama", "ancestral". Throws UsageError for another name.
Sampler sampler_named(std::string_view name);
std::vector<std::string_view> sampler_names();

}  // namespace tweedie
