#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <span>

#include "diffusion/feature_space.h"
#include "kernels/runtime/device.h"

namespace tweedie::experiments {

/// Fewer samples than these cannot be judged.
constexpr std::int64_t least_judged = 16;

class Report;
struct TrainingData;

/// Quality, diversity and novelty of samples (n, H W C) beside the data a model was trained on, as an object for
/// results.json: Frechet and kernel distance and improved precision and recall against as many held-out images in
/// `space` (64 principal components of the held-out images without one), both distances by sample size, and every
/// criterion of memorisation beside its rate among held-out images, with bootstrap intervals. Without held-out images
/// only the criteria on the samples. Throws UsageError where fewer than 16 samples are given.
nlohmann::ordered_json sample_quality(std::span<const float> samples, const TrainingData& data, std::uint64_t seed,
                                      Device device, std::shared_ptr<const FeatureSpace> space = nullptr);
/// Its tables and its figure.
void add_sample_quality(Report& report, const nlohmann::ordered_json& quality);

}  // namespace tweedie::experiments
