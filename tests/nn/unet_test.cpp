#include "nn/unet.h"

#include <gtest/gtest.h>

#include <set>

#include "autograd/ops/reduction.h"
#include "tests/nn/golden.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using ::testing::HasSubstr;

UNetConfig tiny() {
  UNetConfig config;
  config.in_channels = config.out_channels = 1;
  config.block_out_channels = {4, 8};
  config.layers_per_block = 1;
  config.down_block_types = {"DownBlock2D", "AttnDownBlock2D"};
  config.up_block_types = {"AttnUpBlock2D", "UpBlock2D"};
  config.norm_num_groups = 2;
  config.attention_head_dim = 4;
  return config;
}

Tensor ramp(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.37f * static_cast<float>(i));
  return Tensor::from_host(std::span<const float>(values), shape, Device{});
}

Tensor times(std::vector<float> values) {
  return Tensor::from_host(std::span<const float>(values), {static_cast<std::int64_t>(values.size())}, Device{});
}

std::vector<float> run(UNet& network, const Tensor& x, const Tensor& t, ForwardContext context = {}) {
  const NoGrad guard;
  return network.forward(x, t, {}, context).to_host();
}

// Counted by PyTorch's FlopCounterMode and by sum(p.numel()) on the same networks built by diffusers 0.42; the counter
// has no flops for attention's softmax, nor have we.
TEST(UNet, PresetsHaveTheSizeAndTheCostOfDiffusers) {
  struct Expected {
    const char* preset;
    std::int64_t parameters;
    double flops;
  };
  for (const Expected& expected :
       {Expected{"unet-xs", 408641, 183242752}, Expected{"unet-s", 1623169, 725499904},
        Expected{"unet-m", 6469889, 2887057408}, Expected{"ddpm-cifar10", 35746307, 12443713536}}) {
    const UNet network(UNetConfig::preset(expected.preset));
    EXPECT_EQ(network.parameter_count(), expected.parameters) << expected.preset;
    EXPECT_EQ(network.flops({3, 32, 32, network.in_channels()}), 3 * expected.flops) << expected.preset;
  }
}

TEST(UNet, ConvolutionalPresetsHaveNoAttention) {
  for (const char* size : {"xs", "s", "m"}) {
    const UNet with(UNetConfig::preset(std::string("unet-") + size)),
        without(UNetConfig::preset(std::string("unet-conv-") + size));
    std::set<std::string> expected;
    for (const Parameter& parameter : with.parameters())
      if (parameter.name.find("attentions") == std::string::npos) expected.insert(parameter.name);
    EXPECT_LT(expected.size(), with.parameters().size());
    for (const Parameter& parameter : without.parameters())
      EXPECT_EQ(expected.erase(parameter.name), 1u) << parameter.name;
    EXPECT_TRUE(expected.empty()) << *expected.begin();
  }
}

TEST(UNet, StartDependsOnTheSeedAlone) {
  const Tensor x = ramp({2, 8, 8, 1}), t = times({3.0f, 500.0f});
  UNet a(tiny(), {}, 1), again(tiny(), {}, 1), other(tiny(), {}, 2);
  EXPECT_EQ(run(a, x, t), run(again, x, t));
  EXPECT_NE(run(a, x, t), run(other, x, t));
}

TEST(UNet, TapsGiveTheActivationsThatWereAskedFor) {
  UNet network(tiny());
  std::map<std::string, Tensor> taps;
  for (const std::string& name : network.tap_names()) taps[name] = {};
  ForwardContext context;
  context.taps = &taps;
  const NoGrad guard;
  network.forward(ramp({2, 8, 8, 1}), times({3.0f, 500.0f}), {}, context);
  const std::map<std::string, Shape> expected = {{"time_embedding", {2, 16}},     {"conv_in", {2, 8, 8, 4}},
                                                 {"down_blocks.0", {2, 4, 4, 4}}, {"down_blocks.1", {2, 4, 4, 8}},
                                                 {"mid_block", {2, 4, 4, 8}},     {"up_blocks.0", {2, 8, 8, 8}},
                                                 {"up_blocks.1", {2, 8, 8, 4}}};
  ASSERT_EQ(taps.size(), expected.size());
  for (const auto& [name, shape] : expected) {
    ASSERT_TRUE(taps.at(name).defined()) << name;
    EXPECT_EQ(taps.at(name).shape(), shape) << name;
  }
}

TEST(UNet, DropoutActsInTrainingAloneAndIsKeyedBySampleAndStep) {
  UNetConfig config = tiny();
  config.dropout = 0.5;
  UNet network(config), without(tiny());
  const Tensor x = ramp({2, 8, 8, 1}), t = times({3.0f, 500.0f});
  EXPECT_EQ(run(network, x, t), run(without, x, t));

  const auto training = [&](std::vector<std::int64_t> samples, std::uint32_t step) {
    ForwardContext context{.training = true, .seed = 5, .step = step};
    context.samples = Tensor::from_host(std::span<const std::int64_t>(samples), {2}, Device{});
    return context;
  };
  const std::vector<float> first = run(network, x, t, training({7, 8}, 1));
  EXPECT_NE(first, run(without, x, t));
  EXPECT_EQ(first, run(network, x, t, training({7, 8}, 1)));
  EXPECT_NE(first, run(network, x, t, training({7, 8}, 2)));
  const std::vector<float> half = run(network, x, t, training({7, 9}, 1));
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 64, half.begin())) << "sample 7 depends on its neighbour";
  EXPECT_FALSE(std::equal(first.begin() + 64, first.end(), half.begin() + 64)) << "samples 8 and 9 share a mask";
  EXPECT_THAT(message_of([&] { run(network, x, t, {.training = true}); }), HasSubstr("no sample streams"));
}

TEST(UNet, NamesWhatIsWrongWithItsInputs) {
  UNet network(tiny());
  const Tensor x = ramp({2, 8, 8, 1}), t = times({3.0f, 500.0f});
  EXPECT_THAT(message_of([&] {
                run(network, ramp({2, 7, 8, 1}), t);
              }),
              HasSubstr("(2, 7, 8, 1), expected (N, H, W, 1) with H and W multiples of 2"));
  EXPECT_THAT(message_of([&] { run(network, ramp({2, 8, 8, 3}), t); }), HasSubstr("(2, 8, 8, 3)"));
  EXPECT_THAT(message_of([&] { run(network, x, times({3.0f})); }), HasSubstr("timesteps have shape (1), expected (2)"));
  ForwardContext context;
  EXPECT_THAT(message_of([&] { network.forward(x, t, t, context); }), HasSubstr("not conditioned"));

  UNetConfig conditional = tiny();
  conditional.num_class_embeds = 3;
  UNet classes(conditional);
  EXPECT_EQ(classes.label_classes(), 3);
  EXPECT_THAT(message_of([&] { run(classes, x, t); }), HasSubstr("class labels are missing"));
  EXPECT_THAT(message_of([&] {
                classes.forward(x, t, times({0.0f, 1.5f}), context);
              }),
              HasSubstr("1.5 is not a whole number"));
}

TEST(UNet, NamesTheLayerThatCannotBeBuilt) {
  UNetConfig config = tiny();
  config.norm_num_groups = 3;
  EXPECT_THAT(message_of([&] { UNet network(config); }),
              HasSubstr("down_blocks.0.resnets.0.norm1: 4 channels cannot be divided into 3 groups"));
  config = tiny();
  config.attention_head_dim = 32;
  EXPECT_THAT(message_of([&] { UNet network(config); }),
              HasSubstr("down_blocks.1.attentions.0: attention heads of 32 channels do not fit into 8 channels"));
}

}  // namespace
}  // namespace tweedie
