#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>

#include "diffusion/trainer.h"
#include "diffusion/trajectory_states.h"
#include "nn/mlp.h"
#include "tests/diffusion/intervention_support.h"

namespace tweedie {
namespace {

struct Intervention {
  std::string source, target, levels = "uniform", process = "linear";
};

std::string name_of_case(const testing::TestParamInfo<Intervention>& info) {
  std::string name = info.param.source + "_" + info.param.target + "_" + info.param.process;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

class InterventionTraining : public testing::TestWithParam<Intervention> {
 protected:
  static TrainerOptions options() {
    TrainerOptions options;
    options.steps = 12;
    options.batch = 12;
    options.seed = 3;
    options.log_every = 6;
    options.held_out_batch = 8;
    return options;
  }
  InterventionGround ground() const {
    const data::ImageSet region = plane_points();
    const std::vector<std::int64_t> first = {0, 1, 2, 3, 4};
    return ground_of(region.selected(first), region, Process::named(GetParam().process));
  }
  std::unique_ptr<NetworkScore> model(std::uint64_t seed) const {
    MlpConfig config;
    config.hidden_width = 16;
    return std::make_unique<NetworkScore>(std::make_shared<Mlp>(config, Device{}, seed),
                                          Process::named(GetParam().process), Parameterisation::edm(0.7));
  }
  Objective objective() const {
    const InterventionGround all = ground();
    std::shared_ptr<const InputSource> source;
    if (GetParam().source == "trajectory") {
      GaussianMixtureScore mixture = mixture_of(all.region, all.process);
      source = std::make_shared<TrajectoryStates>(mixture, Shape{1, 1, 2}, TrajectoryOptions{.count = 6, .steps = 9});
    } else {
      source = parse_source(GetParam().source, all);
    }
    return Objective(source, parse_target(GetParam().target, all), parse_weighting("edm"),
                     parse_noise_levels(GetParam().levels, all.process));
  }
  std::unique_ptr<Trainer> trainer(NetworkScore& model, const TrainerOptions& options) const {
    const InterventionGround all = ground();
    return std::make_unique<Trainer>(model, objective(), std::make_shared<NoisedData>(all.region_images, all.process),
                                     options);
  }
  static std::vector<float> weights(NetworkScore& model) {
    std::vector<float> all;
    for (const Parameter& parameter : model.network().parameters())
      for (const float value : parameter.value.to_host()) all.push_back(value);
    return all;
  }
};

TEST_P(InterventionTraining, ResumedRunEqualsUnbrokenOneBitForBit) {
  const auto whole_model = model(1);
  std::vector<double> held_out;
  trainer(*whole_model, options())->run(12, {.log = [&](const TrainingLog& log) {
                                          held_out.push_back(log.held_out->mean());
                                        }});
  ASSERT_EQ(held_out.size(), 2u);
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) /
                                       fmt::format("intervention_{}_{}", ::getpid(), name_of_case({GetParam(), 0}));
  {
    const auto first = model(1);
    const auto training = trainer(*first, options());
    training->run(7, {});
    training->save(folder, {.height = 1, .width = 1, .channels = 2});
  }
  const auto second = model(2);
  const auto training = trainer(*second, options());
  training->restore(folder);
  training->run(12, {});
  EXPECT_EQ(weights(*second), weights(*whole_model));
  std::filesystem::remove_all(folder);
}

TEST_P(InterventionTraining, PiecesOfABatchDrawTheSame) {
  const Objective all = objective();
  const Parameterisation noise = Parameterisation::plain(View::eps);
  const auto whole = all.batch(3, 4, 0, 12, noise).target.to_host();
  const auto piece = all.batch(3, 4, 5, 7, noise).target.to_host();
  for (std::size_t i = 0; i < piece.size(); ++i)
    EXPECT_NEAR(piece[i], whole[10 + i], 1e-6 * (1.0 + std::abs(whole[10 + i]))) << i;
}

INSTANTIATE_TEST_SUITE_P(Combinations, InterventionTraining,
                         testing::Values(Intervention{"data", "posterior:3"},
                                         Intervention{"data", "exact", "log-normal", "edm"},
                                         Intervention{"data", "batch:6", "uniform", "cosine"},
                                         Intervention{"data", "duplicated"}, Intervention{"shells:0.1", "conditional"},
                                         Intervention{"shells:0.1", "exact", "uniform", "vp"},
                                         Intervention{"shells:0.05", "posterior:2", "uniform-log-snr", "vp-song"},
                                         Intervention{"trajectory", "posterior:4"},
                                         Intervention{"trajectory", "exact", "log-normal", "edm"}),
                         name_of_case);

}  // namespace
}  // namespace tweedie
