#include "diffusion/checkpoint.h"

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "diffusion/samplers.h"
#include "nn/io/file.h"
#include "nn/mlp.h"
#include "nn/unet.h"

namespace tweedie {
namespace {

namespace fs = std::filesystem;

class Checkpoint : public testing::Test {
 protected:
  Checkpoint() {
    std::string name = (fs::temp_directory_path() / "tweedie-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Checkpoint() override { fs::remove_all(folder_); }
  static std::shared_ptr<Mlp> network(std::uint64_t seed) {
    MlpConfig config;
    config.channels = 2;
    config.hidden_width = 8;
    config.hidden_layers = 1;
    return std::make_shared<Mlp>(config, Device{}, seed);
  }
  static CheckpointInfo info() {
    CheckpointInfo info;
    info.height = info.width = 1;
    info.channels = 2;
    info.step = 77;
    info.data_name = "mosaic:4";
    return info;
  }
  fs::path folder_;
};

TEST_F(Checkpoint, ComesBackAsItWas) {
  const Process process = Process::named("vp", {{"beta_min", 0.25}, {"t_max", 0.75}});
  const Parameterisation parameterisation = Parameterisation::edm(0.37, TimeInput::t);
  const NetworkScore model(network(1), process, parameterisation);
  const auto average = network(2);
  save_checkpoint(folder_, model, average->parameters(), info());

  EXPECT_TRUE(has_checkpoint_info(folder_));
  EXPECT_EQ(preferred_weights(folder_), WeightKind::average);
  const CheckpointInfo read = read_checkpoint_info(folder_);
  EXPECT_EQ(read.process, process);
  EXPECT_EQ(read.parameterisation, parameterisation);
  EXPECT_EQ(read.step, 77);
  EXPECT_EQ(read.data_name, "mosaic:4");
  const Tensor z = Tensor::full({1, 1, 1, 2}, 0.3, {});
  const std::vector<double> t = {0.5};
  const auto raw = load_checkpoint(folder_, WeightKind::raw), ema = load_checkpoint(folder_, WeightKind::average);
  NetworkScore first(network(1), process, parameterisation), second(average, process, parameterisation);
  EXPECT_EQ(raw->predict(z, t, View::eps).to_host(), first.predict(z, t, View::eps).to_host());
  EXPECT_EQ(ema->predict(z, t, View::eps).to_host(), second.predict(z, t, View::eps).to_host());
  EXPECT_NE(ema->predict(z, t, View::eps).to_host(), raw->predict(z, t, View::eps).to_host());
}

TEST_F(Checkpoint, WithoutAverageTheRawWeightsArePreferred) {
  save_checkpoint(folder_, NetworkScore(network(1), Process::linear(), {}), {}, info());
  EXPECT_EQ(preferred_weights(folder_), WeightKind::raw);
  EXPECT_THROW(load_checkpoint(folder_, WeightKind::average), Error);
}

TEST_F(Checkpoint, BadDescriptionsAreNamed) {
  save_checkpoint(folder_, NetworkScore(network(1), Process::linear(), {}), {}, info());
  for (
      const std::string text :
      {"{", "{}", R"({"process": {"name": "linear"}})",
       R"({"process": {"name": "warp"}, "parameterisation": {"preconditioning": "plain", "view": "v", "time_input": "t"},
            "image": {"height": 1, "width": 1, "channels": 2}, "step": 1, "data": "x"})",
       R"({"process": {"name": "linear"}, "parameterisation": {"preconditioning": "plain", "view": "v", "time_input": "t"},
            "image": {"height": 0, "width": 1, "channels": 2}, "step": 1, "data": "x"})"}) {
    io::write_file_atomic(folder_ / "tweedie.json", text);
    EXPECT_THROW(load_checkpoint(folder_, WeightKind::raw), Error) << text;
  }
  fs::remove(folder_ / "tweedie.json");
  EXPECT_FALSE(has_checkpoint_info(folder_));
  EXPECT_THROW(load_checkpoint(folder_, WeightKind::raw), Error);
}

/// A U-Net's answer for a sample must not depend on its place in the batch or on the others there: what makes samplers
/// with batches of one size independent of the batch, bit for bit.
TEST(NetworkSamples, DependOnTheirStreamAlone) {
  UNetConfig config = UNetConfig::preset("unet-xs");
  config.block_out_channels = {8, 16};
  config.down_block_types = {"DownBlock2D", "AttnDownBlock2D"};
  config.up_block_types = {"AttnUpBlock2D", "UpBlock2D"};
  config.norm_num_groups = 4;
  config.attention_head_dim = 8;
  const Process process = Process::linear();
  NetworkScore model(std::make_shared<UNet>(config, Device{}, 3), process, Parameterisation::plain(View::v));
  for (std::string_view name : {"ancestral", "dopri5"}) {
    SamplerOptions options{.steps = 2, .seed = 5, .batch = 4};
    options.relative_tolerance = options.absolute_tolerance = 0.2;
    const auto run = [&](std::vector<std::int64_t> samples) {
      const SamplerState start = start_from_noise(process, {8, 8, 1}, std::move(samples), 5, {});
      return sampler_named(name)(model, start, options).to_host();
    };
    const std::vector<float> many = run({0, 1, 2, 3, 4, 5}), few = run({5, 1});
    EXPECT_TRUE(std::equal(few.begin(), few.begin() + 64, many.begin() + 5 * 64)) << name;
    EXPECT_TRUE(std::equal(few.begin() + 64, few.end(), many.begin() + 64)) << name;
    options.batch = 6;  // the same noise, other matrix shapes: equal but for rounding
    const std::vector<float> wide = run({0, 1, 2, 3, 4, 5});
    for (std::size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(wide[i], many[i], 1e-4) << name;
  }
}

}  // namespace
}  // namespace tweedie
