#include "diffusion/likelihood.h"

#include <algorithm>

#include "diffusion/checkpoint.h"
#include "diffusion/samplers.h"
#include "diffusion/statistics.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "experiments/target_variance/page.h"

namespace tweedie::experiments {
namespace {

constexpr int likelihood_steps = 40;  // of Runge and Kutta, four evaluations each

}  // namespace

double likelihood_samples(std::int64_t count) {
  return 2.0 * 4.0 * likelihood_steps * static_cast<double>(count);  // held-out and training images
}

nlohmann::ordered_json likelihood_of(const SweepCell& cell, const CellGround& ground, std::int64_t count, Device device,
                                     const RunFolder& folder) {
  const auto [checkpoint, step] = newest_checkpoint(folder.checkpoints() / cell.name());
  require(!checkpoint.empty(), "{}: its checkpoint is gone", cell.name());
  const auto model = load_checkpoint(checkpoint, WeightKind::average, device);
  const auto bits = [&](const data::ImageSet& images) {
    const std::int64_t n = std::min(count, images.count);
    const Dequantised points = dequantised(images, n, 0);
    LikelihoodOptions options;
    options.probes = images.dimension() <= 16 ? 0 : 1;
    options.steps = likelihood_steps;
    options.t_start = sampling_start(model->process(), model->parameterisation());
    options.t_end = likelihood_level;
    options.on_step = [] {
      if (stop_requested()) stop("finished cells are saved");
    };
    const Tensor x = Tensor::from_host(std::span<const float>(points.values),
                                       {n, images.height, images.width, images.channels}, device);
    return bits_per_dimension(log_likelihood(*model, x, options), images.dimension(), points.bin_width);
  };
  const std::vector<double> unseen = bits(ground.held_out), seen = bits(ground.score_set);
  return {{"heldout", mean(unseen)},
          {"heldout_se", standard_error(unseen)},
          {"train", mean(seen)},
          {"train_se", standard_error(seen)},
          {"n", unseen.size()}};
}

}  // namespace tweedie::experiments
