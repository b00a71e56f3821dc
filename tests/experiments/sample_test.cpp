#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "diffusion/checkpoint.h"
#include "diffusion/data/png.h"
#include "diffusion/samplers.h"
#include "nn/io/npy.h"
#include "nn/mlp.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A checkpoint of a small network on 4 x 3 grey pictures.
class Sample : public testing::Test {
 protected:
  Sample() { save(Process::linear(), View::v, 0); }

  void save(const Process& process, View view, std::int64_t classes) {
    fs::create_directories(folder());
    MlpConfig config;
    config.height = 4;
    config.width = 3;
    config.channels = 1;
    config.hidden_width = 16;
    config.hidden_layers = 1;
    config.num_class_embeds = classes;
    const NetworkScore model(std::make_shared<Mlp>(config, Device{}, 1), process, Parameterisation::plain(view));
    CheckpointInfo info;
    info.height = 4;
    info.width = 3;
    info.channels = 1;
    save_checkpoint(folder(), model, {}, info);
  }
  fs::path folder() const { return temporary_.path() / "checkpoint"; }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  Outcome run(const std::string& out, const std::vector<std::string>& others) const {
    std::vector<std::string> arguments = {"--checkpoint", folder(), "--out", path(out), "--threads", "1"};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("sample", arguments);
  }
  std::vector<float> samples(const std::string& out, const Shape& shape) const {
    const io::HostArray array = io::read_npy(fs::path(path(out)) / "arrays/samples.npy");
    EXPECT_EQ(array.shape, shape);
    const std::span<const float> values = array.as<float>();
    return {values.begin(), values.end()};
  }

  TemporaryFolder temporary_;
};

TEST_F(Sample, WritesWhatTheSamplerMakes) {
  const Outcome outcome =
      run("run", {"--n", "5", "--steps", "8", "--seed", "3", "--batch", "2", "--sampler", "ancestral"});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("run/report.html"));
  const fs::path out = path("run");
  const auto model = load_checkpoint(folder(), WeightKind::raw);
  const SamplerState start = start_from_noise(model->process(), {4, 3, 1}, {0, 1, 2, 3, 4}, 3, {});
  const std::vector<float> expected = ancestral(*model, start, {.steps = 8, .seed = 3, .batch = 2}).to_host();
  const std::vector<float> found = samples("run", {5, 1, 4, 3});
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5);
  const data::Picture grid = data::read_png(out / "images/samples.png");
  EXPECT_EQ(grid.channels, 1);
  EXPECT_GT(grid.width, 18);
  EXPECT_GT(fs::file_size(out / "report.html"), 1000U);
  const auto results = nlohmann::json::parse(io::read_text(out / "results.json"));
  EXPECT_EQ(results.at("n"), 5);
  const auto config = nlohmann::json::parse(io::read_text(out / "config.json"));
  EXPECT_EQ(config.at("t_start"), 1.0);
  EXPECT_EQ(config.at("weights"), "raw");
}

TEST_F(Sample, SampleIIsTheSameInAnyNumber) {
  for (const std::string sampler : {"heun", "dopri5", "euler-maruyama"}) {
    ASSERT_EQ(
        run(sampler + "-many", {"--n", "7", "--steps", "6", "--batch", "4", "--sampler", sampler, "--t-start", "0.99"})
            .status,
        0);
    ASSERT_EQ(
        run(sampler + "-few", {"--n", "2", "--steps", "6", "--batch", "4", "--sampler", sampler, "--t-start", "0.99"})
            .status,
        0);
    const std::vector<float> many = samples(sampler + "-many", {7, 1, 4, 3}),
                             few = samples(sampler + "-few", {2, 1, 4, 3});
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin())) << sampler;
  }
}

TEST_F(Sample, RestartsFromGivenImages) {
  std::vector<float> images(2 * 12);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = std::sin(static_cast<float>(i));
  io::write_npy(path("x.npy"), images, {2, 1, 4, 3});
  ASSERT_EQ(run("back", {"--restart-from", path("x.npy"), "--restart-t", "0"}).status, 0);
  EXPECT_EQ(samples("back", {2, 1, 4, 3}), images);  // t = 0 is the identity
  const Outcome outcome = run("far", {"--restart-from", path("x.npy"), "--restart-t", "0.6"});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_NE(samples("far", {2, 1, 4, 3}), images);
  EXPECT_TRUE(fs::exists(path("far/images/restart.png")));
  io::write_npy(path("u.npy"), std::vector<std::uint8_t>(24, 255), {2, 1, 4, 3});
  ASSERT_EQ(run("bytes", {"--restart-from", path("u.npy"), "--restart-t", "0"}).status, 0);
  EXPECT_EQ(samples("bytes", {2, 1, 4, 3}), std::vector<float>(24, 1.0F));
}

TEST_F(Sample, ConditionalNetworksTakeClassesInTurn) {
  save(Process::linear(), View::eps, 3);  // eps: starts at 0.999 of t_max
  ASSERT_EQ(run("all", {"--n", "4", "--steps", "3"}).status, 0);
  const io::HostArray labels = io::read_npy(path("all/arrays/labels.npy"));
  EXPECT_THAT(labels.as<std::int64_t>(), testing::ElementsAre(0, 1, 2, 0));
  const auto config = nlohmann::json::parse(io::read_text(path("all/config.json")));
  EXPECT_EQ(config.at("t_start"), 0.999);
  ASSERT_EQ(run("some", {"--n", "3", "--steps", "3", "--labels", "2,0"}).status, 0);
  EXPECT_THAT(io::read_npy(path("some/arrays/labels.npy")).as<std::int64_t>(), testing::ElementsAre(2, 0, 2));
  EXPECT_EQ(run("none", {"--labels", "3"}).status, 2);
}

TEST_F(Sample, EdmHasItsOwnGrid) {
  save(Process::edm(), View::eps, 0);
  ASSERT_EQ(run("edm", {"--n", "2", "--steps", "5"}).status, 0);
  const auto config = nlohmann::json::parse(io::read_text(path("edm/config.json")));
  EXPECT_EQ(config.at("grid"), "edm");
  EXPECT_EQ(config.at("t_start"), 80.0);
  EXPECT_EQ(config.at("t_end"), 0.002);
}

TEST_F(Sample, BadInputIsRefusedInOneLine) {
  const auto refusal = [&](const std::vector<std::string>& arguments, int status, const std::string& message) {
    const Outcome outcome = run("bad", arguments);
    EXPECT_EQ(outcome.status, status) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(message));
    EXPECT_FALSE(fs::exists(path("bad/arrays/samples.npy")));
    EXPECT_FALSE(fs::exists(path("bad/results.json")));
    fs::remove_all(path("bad"));
  };
  refusal({"--sampler", "heunn"}, 2, "--sampler");
  refusal({"--n", "0"}, 2, "--n");
  refusal({"--labels", "1"}, 2, "not conditioned");
  refusal({"--restart-from", path("x.npy")}, 2, "--restart-t");
  refusal({"--restart-t", "0.5"}, 2, "--restart-from");
  refusal({"--restart-from", path("x.npy"), "--restart-t", "0.5"}, 1, "x.npy");
  io::write_npy(path("x.npy"), std::vector<float>(24, 0.0F), {2, 1, 3, 4});
  refusal({"--restart-from", path("x.npy"), "--restart-t", "0.5"}, 1,
          "expected float32 or uint8 of shape (N, 1, 4, 3)");
  io::write_npy(path("x.npy"), std::vector<float>(24, std::nanf("")), {2, 1, 4, 3});
  refusal({"--restart-from", path("x.npy"), "--restart-t", "0.5"}, 1, "not finite");
  refusal({"--t-start", "1.5"}, 1, "t = 1.5 is outside [0, 1]");
  refusal({"--grid", "log-snr"}, 1, "the log-SNR is infinite at t = 1");
  refusal({"--sampler", "euler-maruyama"}, 1, "start from a smaller t");
  refusal({"--process", "vp"}, 2, "tweedie.json says this already");
  ASSERT_EQ(run("twice", {"--n", "1", "--steps", "2"}).status, 0);
  EXPECT_EQ(run("twice", {"--n", "1", "--steps", "2"}).status, 2);
  EXPECT_EQ(run("twice", {"--n", "1", "--steps", "2", "--overwrite"}).status, 0);
}

TEST(SampleOfClosedForm, NeedsNoCheckpoint) {
  const TemporaryFolder temporary;
  const std::string data = temporary.path() / "x.npy";
  std::vector<float> pixels;
  for (int i = 0; i < 6 * 16; ++i) pixels.push_back(static_cast<float>((i * 37) % 19) / 9.5F - 1.0F);
  io::write_npy(data, pixels, {6, 1, 4, 4});
  const auto run = [&](const std::string& out, const std::vector<std::string>& others) {
    std::vector<std::string> arguments = {"--out", temporary.path() / out, "--threads", "1", "--n", "8", "--steps",
                                          "40"};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("sample", arguments);
  };
  // The exact score of six images samples nothing but those six.
  const Outcome outcome = run("exact", {"--model", "empirical", "--data", data});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const io::HostArray array = io::read_npy(temporary.path() / "exact/arrays/samples.npy");
  ASSERT_EQ(array.shape, Shape({8, 1, 4, 4}));
  for (std::size_t n = 0; n < 8; ++n) {
    double nearest = 1e9;
    for (std::size_t i = 0; i < 6; ++i) {
      double squares = 0.0;
      for (std::size_t k = 0; k < 16; ++k)
        squares += std::pow(double{array.as<float>()[n * 16 + k]} - double{pixels[i * 16 + k]}, 2);
      nearest = std::min(nearest, squares);
    }
    EXPECT_LT(nearest, 1e-3);
  }
  EXPECT_EQ(run("gaussian", {"--model", "gaussian", "--data", data, "--process", "vp"}).status, 0);

  const Outcome no_data = run("a", {"--model", "gaussian"});
  EXPECT_EQ(no_data.status, 2);
  EXPECT_THAT(no_data.output, HasSubstr("--model gaussian: needs the data that it is made from, --data"));
  EXPECT_THAT(run("b", {}).output, HasSubstr("one of --checkpoint and --model is needed"));
  EXPECT_THAT(run("c", {"--model", "hybrid-time:0.5", "--data", data}).output, HasSubstr("--checkpoint"));
  EXPECT_THAT(run("d", {"--model", "wiener", "--data", data}).output, HasSubstr("gaussian (Wiener's denoiser)"));
  EXPECT_THAT(run("e", {"--model", "gaussian", "--data", data, "--class", "1"}).output,
              HasSubstr("not conditioned on classes"));
}

}  // namespace
}  // namespace tweedie::experiments
