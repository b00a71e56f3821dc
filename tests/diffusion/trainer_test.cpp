#include "diffusion/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "autograd/ops/arithmetic.h"
#include "nn/mlp.h"

namespace tweedie {
namespace {

constexpr Device cpu{DeviceKind::cpu, 0};

std::shared_ptr<const DeviceImages> random_images(std::int64_t count, std::int64_t side) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * side * side));
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(uniform_integer({.seed = 5}, static_cast<std::uint32_t>(i), 256));
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(std::span<const std::uint8_t>(pixels), {count, side * side}, cpu);
  images->height = images->width = side;
  images->channels = 1;
  return images;
}

std::unique_ptr<NetworkScore> small_model(std::int64_t side) {
  MlpConfig config;
  config.height = config.width = side;
  config.channels = 1;
  config.hidden_width = 24;
  config.hidden_layers = 2;
  return std::make_unique<NetworkScore>(std::make_shared<Mlp>(config, cpu, 1), Process::linear(),
                                        Parameterisation::plain(View::v));
}

Objective dsm(std::shared_ptr<const DeviceImages> images, const std::string& weighting = "raw") {
  const Process process = Process::linear();
  return Objective(std::make_shared<NoisedData>(std::move(images), process), std::make_shared<ConditionalTarget>(),
                   parse_weighting(weighting), parse_noise_levels("uniform", process));
}

TrainerOptions options(std::int64_t steps) {
  TrainerOptions options;
  options.steps = steps;
  options.batch = 12;
  options.seed = 3;
  options.log_every = 10;
  options.optimizer.clip_norm = 1.0;
  return options;
}

std::vector<float> all_weights(NetworkScore& model) {
  std::vector<float> out;
  for (const Parameter& parameter : model.network().parameters())
    for (const float value : parameter.value.to_host()) out.push_back(value);
  return out;
}

std::vector<float> all_averages(const Trainer& trainer) {
  std::vector<float> out;
  for (const Parameter& parameter : trainer.average())
    for (const float value : parameter.value.to_host()) out.push_back(value);
  return out;
}

TEST(Trainer, LossFallsOnAnEasyProblem) {
  const auto images = random_images(4, 4);
  const auto model = small_model(4);
  TrainerOptions settings = options(400);
  settings.optimizer.learning_rate.base = 3e-3;
  Trainer trainer(*model, dsm(images), nullptr, settings);
  std::vector<TrainingLog> logs;
  trainer.run(400, {.log = [&](const TrainingLog& log) { logs.push_back(log); }});
  ASSERT_EQ(logs.size(), 40u);
  EXPECT_EQ(logs.back().step, 400);
  EXPECT_EQ(logs.back().loss.count, 120);
  EXPECT_LT(logs.back().loss.mean(), 0.6 * logs.front().loss.mean());
  EXPECT_GT(logs.back().flops, 0.0);
}

TEST(Trainer, ResumedRunEqualsUnbrokenOneBitForBit) {
  const auto images = random_images(20, 4);
  const auto unbroken = small_model(4);
  Trainer whole(*unbroken, dsm(images), nullptr, options(25));
  std::vector<TrainingLog> whole_logs;
  whole.run(25, {.log = [&](const TrainingLog& log) { whole_logs.push_back(log); }});

  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / fmt::format("trainer_resume_{}", ::getpid());
  {
    const auto first = small_model(4);
    Trainer trainer(*first, dsm(images), nullptr, options(25));
    trainer.run(13, {});
    CheckpointInfo images_info;
    images_info.height = images_info.width = 4;
    images_info.channels = 1;
    trainer.save(folder, images_info);
  }
  const auto second = small_model(4);
  for (const Parameter& parameter : second->network().parameters())
    parameter.value.copy_from(Tensor::full(parameter.value.shape(), 0.5, cpu));  // restore must replace all of it
  Trainer resumed(*second, dsm(images), nullptr, options(25));
  resumed.restore(folder);
  EXPECT_EQ(resumed.steps_done(), 13);
  std::vector<TrainingLog> logs;
  resumed.run(25, {.log = [&](const TrainingLog& log) { logs.push_back(log); }});
  EXPECT_EQ(all_weights(*second), all_weights(*unbroken));
  EXPECT_EQ(all_averages(resumed), all_averages(whole));
  ASSERT_EQ(logs.size(), 2u);  // at 20 and at 25, the first over steps from both sides of the break
  EXPECT_EQ(logs[0].loss.sum, whole_logs[1].loss.sum);
  EXPECT_EQ(logs[1].loss.sum, whole_logs[2].loss.sum);
  EXPECT_EQ(resumed.flops_done(), whole.flops_done());

  TrainerOptions other = options(25);
  other.optimizer.learning_rate.base = 2e-3;
  Trainer different(*second, dsm(images), nullptr, other);
  EXPECT_THROW(different.restore(folder), UsageError);
  std::filesystem::remove_all(folder);
}

TEST(Trainer, MicroBatchesChangeOnlyRounding) {
  const auto images = random_images(20, 4);
  const auto whole = small_model(4), pieces = small_model(4);
  TrainerOptions settings = options(5);
  Trainer a(*whole, dsm(images), nullptr, settings);
  settings.micro_batch = 5;
  Trainer b(*pieces, dsm(images), nullptr, settings);
  a.run(5, {});
  b.run(5, {});
  const auto x = all_weights(*whole), y = all_weights(*pieces);
  // Adam divides by the gradient's own size, so rounding of tiny gradients shows at the learning rate's scale (1e-3).
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 2e-5) << i;
}

TEST(Trainer, HeldOutLossIsTheSameAtTheSameWeights) {
  const auto images = random_images(20, 4);
  const auto model = small_model(4);
  TrainerOptions settings = options(3);
  settings.log_every = 1;
  settings.held_out_batch = 30;
  settings.optimizer.learning_rate.base = 0.0;
  Trainer trainer(*model, dsm(images), std::make_shared<NoisedData>(random_images(7, 4), Process::linear()), settings);
  std::vector<double> losses;
  trainer.run(3, {.log = [&](const TrainingLog& log) {
                EXPECT_EQ(log.held_out->count, 30);
                losses.push_back(log.held_out->sum);
              }});
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(losses[1], losses[2]);
}

TEST(Trainer, NonFiniteLossNamesStepAndOperation) {
  const auto images = random_images(20, 4);
  const auto model = small_model(4);
  Trainer trainer(*model, dsm(images), nullptr, options(10));
  trainer.run(2, {});
  std::vector<float> poisoned = model->network().parameters().front().value.to_host();
  poisoned[0] = std::numeric_limits<float>::quiet_NaN();
  model->network().parameters().front().value.copy_from_host(poisoned);
  try {
    trainer.run(10, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("step 3"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("linear"));
  }
  EXPECT_EQ(trainer.steps_done(), 2);
}

// A target that asks for more than its source has must fail when the objective is built, not when it runs.
class NoiseOfTrajectories final : public InputSource {
 public:
  DrawFields provides() const override { return DrawFields::none; }
  Draw draw(const DrawRequest&) const override { return {}; }
  const Process& process() const override { return process_; }
  std::string describe() const override { return "trajectory states"; }

 private:
  Process process_ = Process::linear();
};

TEST(Objective, RefusesATargetThatItsSourceCannotSupply) {
  try {
    const Objective objective(std::make_shared<NoiseOfTrajectories>(), std::make_shared<ConditionalTarget>(),
                              parse_weighting("raw"), parse_noise_levels("uniform", Process::linear()));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("conditional target"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("trajectory states"));
  }
}

TEST(Objective, DrawsDoNotDependOnTheSplit) {
  const auto images = random_images(50, 4);
  const Objective objective = dsm(images);
  const auto parameterisation = Parameterisation::plain(View::v);
  const auto whole = objective.batch(1, 7, 0, 10, parameterisation);
  const auto part = objective.batch(1, 7, 6, 4, parameterisation);
  const auto z = whole.draw.z.to_host(), z_part = part.draw.z.to_host();
  EXPECT_TRUE(std::equal(z_part.begin(), z_part.end(), z.begin() + 6 * 16));
  EXPECT_TRUE(std::equal(part.draw.t_told.begin(), part.draw.t_told.end(), whole.draw.t_told.begin() + 6));
  const auto later = objective.batch(1, 8, 0, 10, parameterisation);
  EXPECT_NE(later.draw.z.to_host(), z);
}

// z = (1 - t) x + t e and v = e - x: the target follows from z and x alone.
TEST(Objective, ConditionalTargetIsTheVelocity) {
  const auto images = random_images(50, 4);
  const Process process = Process::linear();
  const NoisedData source(images, process);
  DrawRequest request{.seed = 1, .step = 2, .t = {0.2, 0.7}};
  request.fields = DrawFields::clean | DrawFields::noise | DrawFields::conditional_target;
  for (const double t : request.t)
    request.coefficients.push_back(target_coefficients(process, t, Parameterisation::plain(View::v)));
  const Draw draw = source.draw(request);
  const auto z = draw.z.to_host(), x = draw.clean.to_host(), e = draw.noise.to_host(),
             v = draw.conditional_target.to_host();
  const auto pixels = images->pixels.to_host();
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double t = request.t[i / 16];
    EXPECT_NEAR(z[i], (1.0 - t) * x[i] + t * e[i], 1e-6);
    EXPECT_NEAR(v[i], e[i] - x[i], 1e-6);
    EXPECT_NEAR(x[i], pixels[static_cast<std::size_t>(draw.source[i / 16]) * 16 + i % 16] / 127.5 - 1.0, 1e-6);
  }
}

TEST(NoiseLevels, StayInsideTheRangeAndRejectNonsense) {
  for (const char* name : {"linear", "edm", "vp", "vp-song", "cosine"}) {
    const Process process = Process::named(name);
    for (const char* levels : {"uniform", "log-normal", "log-normal:0,2", "logit-normal"}) {
      const auto distribution = parse_noise_levels(levels, process);
      for (const double u : {1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9}) {
        EXPECT_GE(distribution->t_at(u), process.t_min() * (1.0 - 1e-12)) << name << levels;
        EXPECT_LE(distribution->t_at(u), process.t_max() * (1.0 + 1e-12)) << name << levels;
      }
    }
  }
  EXPECT_THROW(parse_noise_levels("log-normal:a", Process::edm()), UsageError);
  EXPECT_THROW(parse_noise_levels("log-normal:0,-1", Process::edm()), UsageError);
  EXPECT_THROW(parse_noise_levels("flat", Process::edm()), UsageError);
}

TEST(NoiseLevels, LogNormalIsEdms) {
  const auto levels = parse_noise_levels("log-normal", Process::edm());
  EXPECT_NEAR(levels->t_at(0.5), std::exp(-1.2), 1e-9);
  EXPECT_NEAR(levels->t_at(0.8413447460685429), std::exp(0.0), 1e-6);  // one standard deviation up
}

TEST(Weighting, ViewsAreTheSquaredConversions) {
  const Process process = Process::linear();
  const auto v = Parameterisation::plain(View::v);
  EXPECT_EQ(parse_weighting("raw")->weight(process, 0.3, v), 1.0);
  EXPECT_NEAR(parse_weighting("v")->weight(process, 0.3, v), 1.0, 1e-12);
  EXPECT_NEAR(parse_weighting("x0")->weight(process, 0.3, v), 0.09, 1e-12);   // x = z - t v
  EXPECT_NEAR(parse_weighting("eps")->weight(process, 0.3, v), 0.49, 1e-12);  // e = z + (1 - t) v
  const auto edm = Parameterisation::edm(0.5);
  EXPECT_NEAR(parse_weighting("edm:0.5")->weight(Process::edm(), 2.0, edm), 1.0, 1e-12);
  EXPECT_THROW(parse_weighting("min-snr:-1"), UsageError);
  EXPECT_THROW(parse_weighting("none"), UsageError);
}

}  // namespace
}  // namespace tweedie
