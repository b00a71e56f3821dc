#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/common/signals.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {

std::vector<double> falling_times(double from) {
  std::vector<double> times;
  const auto last = static_cast<int>(std::floor(from * 20.0 + 1e-9));
  if (from * 20.0 - static_cast<double>(last) > 1e-9) times.push_back(from);
  for (int step = last; step >= 0; --step) times.push_back(static_cast<double>(step) / 20.0);
  return times;
}

Generation generate(ScoreModel& model, const Shape& image, std::int64_t count, std::uint64_t seed, double from,
                    const Tensor& labels) {
  const auto d = static_cast<std::size_t>(image.count());
  std::vector<std::int64_t> streams(static_cast<std::size_t>(count));
  std::iota(streams.begin(), streams.end(), 0);
  const std::vector<double>& levels = probe_levels();
  std::vector<std::vector<float>> passed(levels.size(), std::vector<float>(static_cast<std::size_t>(count) * d));
  SamplerOptions options;
  options.times = falling_times(from);
  options.seed = seed;
  options.batch = std::min<std::int64_t>(count, 128);
  options.on_step = [&](const SamplerStep& step) {
    if (stop_requested()) stop("what was trained and looked at is saved");
    const auto level =
        std::find_if(levels.begin(), levels.end(), [&](double t) { return std::abs(t - step.t.front()) < 1e-9; });
    if (level == levels.end()) return;
    const std::vector<float> z = step.z.to_host();
    for (std::size_t row = 0; row < step.samples.size(); ++row)
      std::copy_n(z.begin() + static_cast<std::ptrdiff_t>(row * d), d,
                  passed[static_cast<std::size_t>(level - levels.begin())].begin() +
                      static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step.samples[row]) * d));
  };
  const SamplerState start = start_from_noise(model.process(), image, streams, seed, model.device(), labels, from);
  Generation generation;
  generation.images = heun(model, start, options).to_host();
  generation.trajectory = {.region = "ext", .t = levels, .z = {}};
  for (const std::vector<float>& states : passed)
    generation.trajectory.z.push_back(
        Tensor::from_host(std::span<const float>(states), {count, image[0], image[1], image[2]}, model.device()));
  return generation;
}

Generation generate(ScoreModel& model, const StudyGround& ground, std::int64_t count) {
  return generate(model, {ground.train.height, ground.train.width, ground.train.channels}, count, ground.probe_seed);
}

}  // namespace tweedie::experiments
