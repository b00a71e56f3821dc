#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "diffusion/data/image_set.h"
#include "diffusion/score_model.h"
#include "diffusion/time_grid.h"

namespace tweedie {

struct LikelihoodOptions {
  /// How the divergence of the velocity is had from models without a closed form of it (denoiser_divergence): 0 the
  /// exact trace, one row of the Jacobian at a time, for low dimensions; else the mean over this many random signs e of
  /// e . J e (Hutchinson 1989; Grathwohl et al. 2019), the same signs along a whole path.
  std::int64_t probes = 1;
  /// 0: Dormand-Prince with a step size of its own for each sample; else as many Runge-Kutta steps of fourth order.
  std::int64_t steps = 0;
  TimeGrid grid = TimeGrid::uniform;                            // of fixed steps
  double relative_tolerance = 1e-4, absolute_tolerance = 1e-4;  // of the state's entries and of the log-density / d
  std::int64_t most_steps = 10'000;                             // adaptive: more is an Error
  std::optional<double> t_start = {};  // the noisy end, where the law is taken as N(0, sigma^2 I); process.t_max()
  std::optional<double> t_end = {};    // the clean end; process.t_min()
  std::uint64_t seed = 0;              // of the random signs
  std::int64_t first_sample = 0;       // row n takes the signs of stream first_sample + n
  std::int64_t batch = 256;            // rows (samples x probes) that pass the model at once
  std::function<void()> on_step = {};
};

/// log p(x) under the probability-flow ODE of a score model (Song et al. 2021, appendix D.2): z = alpha(t_end) x is
/// carried to t_start, and log p(x) = log N(z(t_start); 0, sigma^2 I) + int div v dt + d log alpha(t_end), v the
/// model's velocity. The state is kept in double. x (N, ...) clean points; the result (N) in nats. What is measured is
/// the density at noise level t_end, its remaining smoothing included. Throws Error where the model can be neither
/// differentiated nor asked for its divergence, and for states that are not finite.
std::vector<double> log_likelihood(ScoreModel& model, const Tensor& x, const LikelihoodOptions& options = {},
                                   const Tensor& labels = {});

/// Negative log2-likelihood a dimension of a cell of side `bin_width` about each point, density constant inside:
/// -(log p / d + log bin_width)/log 2. With bin_width 1 it is the differential one, of continuous data.
std::vector<double> bits_per_dimension(std::span<const double> log_density, std::int64_t dimension, double bin_width);

/// Images as points with a density. uint8 pixels v become (v + u - 1/2)/127.5 - 1, u uniform in [0, 1): cells of width
/// 1/127.5, and the bits of these points bound those of the integers from above (Theis et al. 2016). float32 pixels
/// stay as they are, with cells of width 1: their bits are differential and can be negative.
struct Dequantised {
  std::vector<float> values;  // (n, d)
  double bin_width = 1.0;
};
/// Of the first `count` images; the noise of image i is that of (seed, Purpose::probe_noise, 1, i).
Dequantised dequantised(const data::ImageSet& images, std::int64_t count, std::uint64_t seed);

}  // namespace tweedie
