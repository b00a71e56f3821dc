#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "diffusion/checkpoint.h"
#include "diffusion/data/load.h"
#include "diffusion/feature_space.h"
#include "diffusion/frechet.h"
#include "diffusion/kernel_distance.h"
#include "diffusion/likelihood.h"
#include "nn/io/npy.h"
#include "nn/io/npz.h"
#include "nn/mlp.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Two checkpoints of small networks on 8 x 8 grey pictures, as sample and evaluate_score measure them.
class Measures : public testing::Test {
 protected:
  Measures() {
    save("first", 1);
    save("second", 2);
  }
  void save(const std::string& name, std::uint64_t seed) const {
    fs::create_directories(path(name));
    const MlpConfig config{.height = 8, .width = 8, .channels = 1, .hidden_width = 16, .hidden_layers = 1};
    const NetworkScore model(std::make_shared<Mlp>(config, Device{}, seed), Process::linear(),
                             Parameterisation::plain(View::v));
    CheckpointInfo info;
    info.height = info.width = 8;
    info.channels = 1;
    save_checkpoint(path(name), model, {}, info);
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  Outcome sample(const std::string& out, const std::vector<std::string>& others) const {
    std::vector<std::string> arguments = {"--checkpoint", path("first"), "--out", path(out), "--threads", "1",
                                          "--steps",      "4",           "--n",   "32",      "--batch",   "32"};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("sample", arguments);
  }
  nlohmann::json results(const std::string& out) const {
    return nlohmann::json::parse(io::read_text(fs::path(path(out)) / "results.json"));
  }

  TemporaryFolder temporary_;
};

TEST_F(Measures, SamplesAreJudgedBesideTheirData) {
  const std::vector<std::string> data = {"--data", "fashion-mnist", "--resolution", "8", "--subset", "200"};
  const Outcome outcome = sample("run", data);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto quality = results("run").at("quality");
  EXPECT_EQ(quality.at("n"), 32);
  EXPECT_EQ(quality.at("n_training"), 200);
  EXPECT_GT(quality.at("frechet").get<double>(), 0.0);
  EXPECT_GT(quality.at("kernel").get<double>(), 0.0);
  // An untrained network's samples are noise: off the manifold, near no training image.
  EXPECT_EQ(quality.at("precision").at("value"), 0.0);
  EXPECT_EQ(quality.at("memorised").at("sqrt_m_third").at("value"), 0.0);
  ASSERT_GE(quality.at("by_size").size(), 2U);
  EXPECT_LT(quality.at("by_size").front().at("n"), quality.at("by_size").back().at("n"));
  for (const char* key : {"m_third", "sqrt_m_third", "sqrt_m_half", "nn_ratio_third", "correlation"})
    for (const char* set : {"memorised", "memorised_heldout"}) {
      const auto& estimate = quality.at(set).at(key);
      EXPECT_LE(estimate.at("low").get<double>(), estimate.at("value").get<double>()) << key;
      EXPECT_GE(estimate.at("high").get<double>(), estimate.at("value").get<double>()) << key;
    }
  EXPECT_THAT(io::read_text(fs::path(path("run")) / "report.html"), HasSubstr("Frechet distance"));

  const Outcome wrong = sample("wrong", {"--data", "fashion-mnist", "--resolution", "16", "--subset", "200"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.output, HasSubstr("images of 16 x 16 x 1, but the samples are of 8 x 8 x 1"));
}

TEST_F(Measures, DistancesAreTakenInAnEncodersFeatures) {
  const std::vector<std::string> data = {"--data", "fashion-mnist", "--resolution", "8", "--subset", "64"};
  std::vector<std::string> training = data;
  training.insert(training.end(),
                  {"--steps", "4", "--batch", "8", "--base-channels", "8", "--threads", "1", "--out", path("encoder")});
  ASSERT_EQ(run_binary("train_encoder", training).status, 0);
  const auto with = [&](std::vector<std::string> words, const std::string& folder) {
    words.insert(words.end(), {"--features", folder});
    return words;
  };
  const Outcome outcome = sample("features", with(data, path("encoder/encoder")));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  ASSERT_EQ(sample("components", data).status, 0);
  const auto ours = results("features").at("quality"), plain = results("components").at("quality");
  EXPECT_THAT(ours.at("features").get<std::string>(), HasSubstr("32 features of a convolutional classifier"));
  EXPECT_THAT(plain.at("features").get<std::string>(), HasSubstr("principal components"));
  EXPECT_EQ(ours.at("memorised"), plain.at("memorised"));

  // The same distances by hand.
  const io::HostArray samples = io::read_npy(fs::path(path("features")) / "arrays" / "samples.npy");  // one channel
  const EncoderFeatures space(std::shared_ptr<ConvEncoder>(load_encoder(path("encoder/encoder"))), "");
  const data::ImageSet held_out =
      data::load_data({.name = "fashion-mnist", .split = data::Split::test, .resolution = 8});
  const std::vector<float> a = space.features(samples.as<float>()), b = space.features(held_out);
  EXPECT_NEAR(ours.at("frechet").get<double>(), frechet_distance(feature_moments(a, 32), feature_moments(b, 32)),
              1e-9 * ours.at("frechet").get<double>());
  EXPECT_NEAR(ours.at("kernel").get<double>(), kernel_distance(a, b, 32), 1e-9);

  EXPECT_THAT(sample("lone", {"--features", path("encoder/encoder")}).last_error_line(), HasSubstr("--data"));
  EXPECT_THAT(sample("none", with(data, path("absent"))).last_error_line(), HasSubstr("absent"));
  std::vector<std::string> other = training;
  std::replace(other.begin(), other.end(), std::string("8"), std::string("16"));
  other.back() = path("larger");
  ASSERT_EQ(run_binary("train_encoder", other).status, 0);
  const Outcome wrong = sample("wrong", with(data, path("larger/encoder")));
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.last_error_line(), HasSubstr("takes images of 16 x 16 x 1, these are of 8 x 8 x 1"));
}

TEST_F(Measures, TwoCheckpointsAreComparedFromTheSameNoise) {
  ASSERT_EQ(sample("same", {"--compare-with", path("first")}).status, 0);
  const auto same = results("same").at("compared");
  EXPECT_NEAR(same.at("correlation").at("value").get<double>(), 1.0, 1e-6);
  EXPECT_LT(same.at("correlation_of_other_noise").at("high").get<double>(), 0.5);
  ASSERT_EQ(sample("other", {"--compare-with", path("second")}).status, 0);
  const double other = results("other").at("compared").at("correlation").at("value");
  EXPECT_LT(other, 0.9999);
  EXPECT_EQ(sample("none", {"--compare-with", path("absent")}).status, 1);
}

TEST_F(Measures, LikelihoodsAreThoseOfTheModel) {
  std::vector<float> pixels(2 * 64);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::sin(static_cast<float>(i));
  io::write_npy(path("x.npy"), pixels, {2, 1, 8, 8});
  const std::vector<std::string> arguments = {"--checkpoint", path("first"), "--points",  path("x.npy"),
                                              "--likelihood", "2",           "--threads", "1",
                                              "--bin-width",  "0.5",         "--out",     path("o.npz")};
  const Outcome outcome = run_binary("evaluate_score", arguments);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto written = io::read_npz(path("o.npz"));
  ASSERT_EQ(written.size(), 2U);
  const auto model = load_checkpoint(path("first"), WeightKind::raw);
  const std::vector<double> expected =
      log_likelihood(*model, Tensor::from_host(std::span<const float>(pixels), {2, 8, 8, 1}, {}), {.probes = 2});
  const std::span<const double> found = written.at("log_likelihood").as<double>();
  const std::span<const double> bits = written.at("bits_per_dim").as<double>();
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(found[i], expected[i], 1e-3 * std::abs(expected[i]));
    EXPECT_NEAR(bits[i], -(found[i] / 64.0 + std::log(0.5)) / std::log(2.0), 1e-9);
  }
  EXPECT_EQ(
      run_binary("evaluate_score", {"--checkpoint", path("first"), "--points", path("x.npy"), "--out", path("p.npz")})
          .status,
      2);
}

}  // namespace
}  // namespace tweedie::experiments
