#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/gaussian_mixture.h"
#include "diffusion/interventions.h"
#include "diffusion/objective.h"
#include "diffusion/statistics.h"

namespace tweedie {

/// Points of R^d in place of images: 1 x 1 pixels of d channels.
inline data::ImageSet point_images(const std::vector<float>& values, std::int64_t d,
                                   std::vector<std::int64_t> labels = {}, std::int64_t classes = 0) {
  return data::make_image_set("points", data::Split::train, {static_cast<std::int64_t>(values.size()) / d, 1, 1, d},
                              values, std::move(labels), classes);
}

/// Twelve points of the plane.
inline data::ImageSet plane_points() {
  std::vector<float> values;
  for (std::uint32_t i = 0; i < 24; ++i) values.push_back(0.8f * normal({.seed = 21}, i));
  return point_images(values, 2);
}

inline InterventionGround ground_of(const data::ImageSet& score_set, const data::ImageSet& region,
                                    Process process = Process::linear()) {
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(region.floats(), {region.count, region.dimension()}, Device{DeviceKind::cpu, 0});
  images->height = region.height;
  images->width = region.width;
  images->channels = region.channels;
  images->labels = region.labels;
  images->label_classes = region.classes;
  InterventionGround ground;
  ground.score_set = score_set;
  ground.region = region;
  ground.region_images = images;
  ground.process = process;
  return ground;
}

inline Objective objective_of(const InterventionGround& ground, const std::string& source, const std::string& target,
                              const std::string& levels = "uniform") {
  return Objective(parse_source(source, ground), parse_target(target, ground), parse_weighting("raw"),
                   parse_noise_levels(levels, ground.process));
}

/// The closed form of a set's score, in double and without any of the library's data-set code.
inline GaussianMixtureScore mixture_of(const data::ImageSet& set, const Process& process) {
  std::vector<GaussianComponent> components;
  const auto d = static_cast<std::size_t>(set.dimension());
  const std::vector<float> values = set.to_float();
  for (std::size_t i = 0; i < values.size(); i += d)
    components.push_back({.weight = 1.0, .mean = {&values[i], &values[i] + d}, .covariance = {0.0}});
  return {components, process};
}

inline void expect_zero(const std::vector<double>& values, const std::string& what) {
  EXPECT_LT(std::abs(mean(values)), 4.0 * standard_error(values)) << what;
}

}  // namespace tweedie
