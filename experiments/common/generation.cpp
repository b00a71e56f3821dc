#include "experiments/common/generation.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "diffusion/data/png.h"
#include "diffusion/samplers.h"
#include "experiments/common/signals.h"

namespace tweedie::experiments {

const std::vector<double>& probe_levels() {
  static const std::vector<double> levels = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
  return levels;
}

std::vector<double> falling_times(double from) {
  std::vector<double> times;
  const auto last = static_cast<int>(std::floor(from * 20.0 + 1e-9));
  if (from * 20.0 - static_cast<double>(last) > 1e-9) times.push_back(from);
  for (int step = last; step >= 0; --step) times.push_back(static_cast<double>(step) / 20.0);
  return times;
}

Generation generate(ScoreModel& model, const Shape& image, std::int64_t count, std::uint64_t seed, double from,
                    const Tensor& labels, std::int64_t followed) {
  const std::int64_t kept = std::min(count, followed);
  const auto d = static_cast<std::size_t>(image.count());
  std::vector<std::int64_t> streams(static_cast<std::size_t>(count));
  std::iota(streams.begin(), streams.end(), 0);
  const std::vector<double>& levels = probe_levels();
  std::vector<std::vector<float>> passed(levels.size(), std::vector<float>(static_cast<std::size_t>(kept) * d));
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
    std::vector<float>& place = passed[static_cast<std::size_t>(level - levels.begin())];
    for (std::size_t row = 0; row < step.samples.size(); ++row)
      if (step.samples[row] < kept)
        std::copy_n(z.begin() + static_cast<std::ptrdiff_t>(row * d), d,
                    place.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step.samples[row]) * d));
  };
  const SamplerState start = start_from_noise(model.process(), image, streams, seed, model.device(), labels, from);
  Generation generation;
  generation.images = heun(model, start, options).to_host();
  generation.trajectory = {.region = "ext", .t = levels, .z = {}};
  for (const std::vector<float>& states : passed)
    generation.trajectory.z.push_back(
        Tensor::from_host(std::span<const float>(states), {kept, image[0], image[1], image[2]}, model.device()));
  return generation;
}

nlohmann::ordered_json fractions_json(const MemorisedFractions& fractions) {
  return {{"m_third", fractions.m_third},
          {"sqrt_m_third", fractions.sqrt_m_third},
          {"sqrt_m_half", fractions.sqrt_m_half},
          {"nn_ratio_third", fractions.nn_ratio_third}};
}

void write_nearest_gallery(const std::filesystem::path& file, std::span<const float> images,
                           const data::ImageSet& reference, std::span<const std::int64_t> nearest, std::size_t rows) {
  const std::size_t columns = std::min<std::size_t>(16, nearest.size());
  const auto d = static_cast<std::size_t>(reference.dimension());
  std::vector<float> tiles, near(d);
  for (std::size_t first = 0; first + columns <= nearest.size() && first < rows * columns; first += columns) {
    const std::span<const float> row = images.subspan(first * d, columns * d);
    tiles.insert(tiles.end(), row.begin(), row.end());
    for (std::size_t i = first; i < first + columns; ++i) {
      reference.copy_float(nearest[i], near);
      tiles.insert(tiles.end(), near.begin(), near.end());
    }
  }
  data::write_png(file, data::image_grid(tiles, reference.height, reference.width, reference.channels,
                                         {.columns = static_cast<std::int64_t>(columns), .padding = 1, .scale = 3}));
}

}  // namespace tweedie::experiments
