#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "diffusion/memorization.h"
#include "diffusion/score_probe.h"

namespace tweedie::experiments {

// Samples of a model under examination, and what is shown of them.

/// t = 0.1, ..., 0.9: where errors are taken and averaged.
const std::vector<double>& probe_levels();
/// From `from` down to 0 through the multiples of 0.05: the times of every probability-flow integration under
/// examination.
std::vector<double> falling_times(double from);

/// Samples of a model with the states it passed on the way.
struct Generation {
  ProbeStates trajectory;     // region ext, at probe_levels()
  std::vector<float> images;  // (n, H, W, C): the finished samples
};
/// Probability-flow ODE from fixed noise by Heun's method at falling_times(from); `image` is one sample's shape. States
/// are kept of the first `followed` samples.
Generation generate(ScoreModel& model, const Shape& image, std::int64_t count, std::uint64_t seed, double from = 1.0,
                    const Tensor& labels = {}, std::int64_t followed = INT64_MAX);

/// The shares of results.json: {m_third, sqrt_m_third, sqrt_m_half, nn_ratio_third}.
nlohmann::ordered_json fractions_json(const MemorisedFractions& fractions);

/// A PNG of images (n, H, W, C) in at most `rows` rows of sixteen, each row above that of the images' nearest ones in
/// `reference` (`nearest`, n indices).
void write_nearest_gallery(const std::filesystem::path& file, std::span<const float> images,
                           const data::ImageSet& reference, std::span<const std::int64_t> nearest, std::size_t rows);

}  // namespace tweedie::experiments
