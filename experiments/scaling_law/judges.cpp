#include <algorithm>
#include <chrono>

#include "diffusion/kernel_distance.h"
#include "experiments/common/command_line.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/scaling_law/study.h"
#include "kernels/runtime/operation.h"

namespace tweedie::experiments {
namespace {

constexpr std::int64_t most_kernel_images = 2000;

std::vector<float> first_images(const data::ImageSet& images, std::int64_t count) {
  const auto d = static_cast<std::size_t>(images.dimension());
  std::vector<float> values(static_cast<std::size_t>(count) * d);
  for (std::int64_t i = 0; i < count; ++i)
    images.copy_float(i, std::span(values).subspan(static_cast<std::size_t>(i) * d, d));
  return values;
}

Judge judge_in(std::string name, std::shared_ptr<const FeatureSpace> space, const CellGround& ground,
               std::int64_t samples) {
  Judge judge{.name = std::move(name), .space = std::move(space), .held_out = {}, .few = {}, .n = samples};
  const std::vector<float> features = judge.space->features(ground.held_out);
  const std::int64_t k = judge.space->dimension();
  judge.held_out = feature_moments(features, k);
  judge.few.assign(features.begin(), features.begin() + static_cast<std::ptrdiff_t>(
                                                            std::min(ground.held_out.count, most_kernel_images) * k));
  const std::vector<float> copies = first_images(ground.all, std::min(samples, ground.all.count));
  judge.frechet_floor = judge.frechet(copies);
  judge.kernel_floor = judge.kernel(copies);
  return judge;
}

/// Trained once a run: taken up again where its folder is complete.
std::shared_ptr<const EncoderFeatures> encoder_at(const std::filesystem::path& folder, std::uint64_t seed,
                                                  const ScalingOptions& options, const CellGround& ground,
                                                  Device device, Progress& progress) {
  if (!std::filesystem::exists(folder / "tweedie.json")) {
    const TrainedEncoder trained =
        train_encoder_on(ground.all, ground.held_out, options.encoder, device, seed, progress);
    save_trained(folder, trained,
                 {{"seed", seed}, {"steps", options.encoder.steps}, {"test_accuracy", trained.test_accuracy}});
  }
  return load_features(folder, device);
}

}  // namespace

double Judge::frechet(std::span<const float> images) const {
  return frechet_distance(feature_moments(space->features(images), space->dimension()), held_out);
}

double Judge::kernel(std::span<const float> images) const {
  return kernel_distance(space->features(images), few, space->dimension());
}

Judges lay_judges(const ScalingOptions& options, const CellGround& ground, bool aligned, Device device,
                  RunFolder& folder, Progress& progress) {
  Judges judges;
  const std::uint64_t seed = options.compute.seed;
  if (ground.all.classes > 0) {
    const auto features = encoder_at(folder.path() / "encoders" / "judge", seed, options, ground, device, progress);
    judges.all.push_back(judge_in("encoder", features, ground, options.samples));
    judges.encoders.push_back("judge: " + features->describe());
  }
  judges.all.push_back(judge_in("pca", ground.features, ground, options.samples));
  if (aligned) {
    const std::string& given = options.alignment.encoder;
    const auto features =
        given.empty() ? encoder_at(folder.path() / "encoders" / "teacher", seed + 1, options, ground, device, progress)
                      : load_features(given, ground.all, "--encoder", device);
    judges.teacher = features->shared_encoder();
    judges.encoders.push_back("teacher: " + features->describe());
  }
  return judges;
}

CellCosts encoder_costs(const ScalingOptions& options, const data::ImageSet& images, std::int64_t encoders,
                        Device device) {
  CellCosts costs;
  if (encoders == 0 || options.encoder.steps == 0) return costs;
  constexpr std::int64_t steps = 4;  // the first, which prepares kernels, does not count
  ConvEncoder encoder({.height = images.height,
                       .width = images.width,
                       .channels = images.channels,
                       .base_channels = options.encoder.base_channels,
                       .classes = images.classes},
                      device, 0);
  auto began = std::chrono::steady_clock::now();
  double flops = 0.0;
  EncoderTrainingOptions training{.steps = steps, .batch = options.encoder.batch};
  training.after_step = [&](std::int64_t step, double) {
    if (step == 1) {
      began = std::chrono::steady_clock::now();
      flops = work_done().flops;
    }
    return true;
  };
  train_encoder(encoder, *on_device(images, device), training);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double all = static_cast<double>(encoders * options.encoder.steps) / static_cast<double>(steps - 1);
  costs.before.flops = (work_done().flops - flops) * all;
  costs.before.seconds = seconds * all;
  costs.before.disk_bytes = encoders * encoder.parameter_count() * std::int64_t{4};
  return costs;
}

}  // namespace tweedie::experiments
