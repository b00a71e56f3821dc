#include "nn/layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "autograd/ops/loss.h"
#include "autograd/ops/reduction.h"
#include "nn/mlp.h"
#include "nn/unet.h"
#include "tests/nn/golden.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using ::testing::HasSubstr;

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const Parameter& parameter : module.parameters()) names.push_back(parameter.name);
  return names;
}

TEST(Layers, ParametersStartAsPyTorchsDo) {
  const Scope scope{{}, 4, "layer"};
  // Uniform in (-1/sqrt(fan_in), 1/sqrt(fan_in)): mean 0, variance fan_in^-1 / 3, and the bound is approached.
  const auto check_uniform = [](const Tensor& tensor, double fan_in) {
    const std::vector<double> values = tensor.to_host_double();
    const double n = static_cast<double>(values.size()), bound = 1.0 / std::sqrt(fan_in);
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    const double variance = testing::norm_of(values) * testing::norm_of(values) / n;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    EXPECT_LT(std::abs(mean), 4.0 * bound / std::sqrt(3.0 * n));
    EXPECT_NEAR(variance, bound * bound / 3.0, 4.0 * bound * bound * std::sqrt(4.0 / 45.0 / n));
    EXPECT_GE(*low, -bound);
    EXPECT_LE(*high, bound);
    EXPECT_LT(*low, -0.99 * bound);
    EXPECT_GT(*high, 0.99 * bound);
  };
  const Linear linear(scope, 40, 500);
  check_uniform(linear.parameters()[0].value, 40);
  check_uniform(linear.parameters()[1].value, 40);
  const auto convolution = same_convolution(scope, 16, 300, 3);
  check_uniform(convolution->parameters()[0].value, 16 * 9);
  check_uniform(convolution->parameters()[1].value, 16 * 9);
  const std::vector<double> rows = Embedding(scope, 100, 50).parameters()[0].value.to_host_double();
  EXPECT_NEAR(testing::norm_of(rows) * testing::norm_of(rows) / 5000.0, 1.0, 4.0 * std::sqrt(2.0 / 5000.0));
  const GroupNorm norm(scope, 2, 6, 1e-5);
  EXPECT_EQ(norm.parameters()[0].value.to_host(), std::vector<float>(6, 1.0f));
  EXPECT_EQ(norm.parameters()[1].value.to_host(), std::vector<float>(6, 0.0f));
}

TEST(Layers, AParametersStartDependsOnItsNameNotOnItsNeighbours) {
  UNetConfig config;
  config.block_out_channels = {4, 8};
  config.layers_per_block = 1;
  config.norm_num_groups = 2;
  config.down_block_types = {"DownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "UpBlock2D"};
  const UNet network(config, {}, 9);
  config.down_block_types[0] = "AttnDownBlock2D";
  config.attention_head_dim = 4;
  config.layers_per_block = 2;
  const UNet richer(config, {}, 9);
  std::map<std::string, std::vector<float>> values;
  for (const Parameter& parameter : richer.parameters()) values[parameter.name] = parameter.value.to_host();
  int compared = 0;
  for (const Parameter& parameter : network.parameters()) {
    if (parameter.name != "conv_in.weight" && parameter.name != "down_blocks.0.resnets.0.conv1.weight") continue;
    EXPECT_EQ(parameter.value.to_host(), values.at(parameter.name)) << parameter.name;
    ++compared;
  }
  EXPECT_EQ(compared, 2);
  EXPECT_NE(values.at("down_blocks.0.resnets.0.conv2.weight"), values.at("down_blocks.0.resnets.1.conv2.weight"));
}

TEST(Layers, AttentionNamesItsParametersAsDiffusersDoes) {
  const SelfAttention with_norm({}, {.channels = 8, .head_dim = 4, .groups = 2});
  EXPECT_EQ(names_of(with_norm),
            (std::vector<std::string>{"group_norm.weight", "group_norm.bias", "to_q.weight", "to_q.bias", "to_k.weight",
                                      "to_k.bias", "to_v.weight", "to_v.bias", "to_out.0.weight", "to_out.0.bias"}));
  const SelfAttention without({}, {.channels = 8, .head_dim = 3});
  EXPECT_EQ(names_of(without).front(), "to_q.weight");
  EXPECT_EQ(without.parameters()[0].value.shape(), Shape({6, 8}));
}

TEST(Layers, SayWhatTheyCannotBe) {
  const Scope scope{{}, 0, "mid.layer"};
  EXPECT_THAT(message_of([&] { Linear(scope, 0, 3); }), HasSubstr("mid.layer: a linear layer of 0 inputs"));
  EXPECT_THAT(message_of([&] { GroupNorm(scope, 4, 6, 1e-5); }),
              HasSubstr("mid.layer: 6 channels cannot be divided into 4 groups"));
}

TEST(Mlp, IsTheFormulaOfItsHeader) {
  const Device device{DeviceKind::reference};
  Mlp network({.channels = 2, .hidden_width = 3, .hidden_layers = 1, .activation = "relu", .time_channels = 2}, device,
              5);
  EXPECT_EQ(names_of(network),
            (std::vector<std::string>{"hidden.0.weight", "hidden.0.bias", "output.weight", "output.bias"}));
  std::vector<std::vector<double>> w;
  for (const Parameter& parameter : network.parameters()) w.push_back(parameter.value.to_host_double());
  const double t = 1.25;
  // Two time channels: half = 1, frequency 1, cosine first.
  const std::vector<double> in = {0.5, -2.0, std::cos(t), std::sin(t)};
  std::vector<double> expected;
  for (std::size_t o = 0; o < 2; ++o) {
    double y = w[3][o];
    for (std::size_t h = 0; h < 3; ++h) {
      double sum = w[1][h];
      for (std::size_t i = 0; i < 4; ++i) sum += w[0][4 * h + i] * in[i];
      y += w[2][3 * o + h] * std::max(sum, 0.0);
    }
    expected.push_back(y);
  }
  ForwardContext context;
  const Tensor x = Tensor::from_host(std::span<const double>(in.data(), 2), {1, 1, 1, 2}, device);
  const Tensor time = Tensor::from_host(std::span<const double>(&t, 1), {1}, device);
  EXPECT_LT(testing::distance(network.forward(x, time, {}, context).to_host_double(), expected), 1e-14);
  EXPECT_EQ(network.flops({7, 1, 1, 2}), 7.0 * 2.0 * (3 * 4 + 2 * 3));
}

// The derivative along a random direction of all parameters and the input at once.
TEST(Mlp, GradientsAgreeWithDifferences) {
  const Device device{DeviceKind::reference};
  Mlp network({.height = 2,
               .width = 1,
               .channels = 2,
               .hidden_width = 5,
               .hidden_layers = 2,
               .time_channels = 4,
               .num_class_embeds = 3},
              device, 5);
  const std::vector<std::int64_t> classes = {2, 0, 2};
  const std::vector<double> t = {0.5, 3.0, 40.0};
  const Tensor labels = Tensor::from_host(std::span<const std::int64_t>(classes), {3}, device);
  const Tensor times = Tensor::from_host(std::span<const double>(t), {3}, device);
  Tensor x = initial_normal({device, 1, ""}, "x", {3, 2, 1, 2}, 1.0);
  x.set_requires_grad(true);
  const Tensor target = Tensor::zeros(x.shape(), device);
  const auto loss = [&] {
    ForwardContext context;
    return mean(squared_error(network.forward(x, times, labels, context), target));
  };
  loss().backward();

  std::vector<Parameter> moved = network.parameters();
  moved.push_back({"x", x});
  double derivative = 0.0;
  std::vector<std::vector<double>> start, direction;
  for (const Parameter& parameter : moved) {
    start.push_back(parameter.value.to_host_double());
    direction.push_back(initial_normal({device, 2, ""}, parameter.name, parameter.value.shape(), 1.0).to_host_double());
    const std::vector<double> gradient = parameter.value.grad().to_host_double();
    EXPECT_GT(testing::norm_of(gradient), 0.0) << parameter.name;
    derivative += std::inner_product(gradient.begin(), gradient.end(), direction.back().begin(), 0.0);
  }
  const auto loss_at = [&](double step) {
    for (std::size_t i = 0; i < moved.size(); ++i) {
      std::vector<double> values = start[i];
      for (std::size_t j = 0; j < values.size(); ++j) values[j] += step * direction[i][j];
      moved[i].value.copy_from(Tensor::from_host(std::span<const double>(values), moved[i].value.shape(), device));
    }
    const NoGrad guard;
    return loss().item();
  };
  const double h = 1e-3;
  const double difference = (8.0 * (loss_at(h) - loss_at(-h)) - (loss_at(2.0 * h) - loss_at(-2.0 * h))) / (12.0 * h);
  EXPECT_NEAR(difference, derivative, 1e-8 * std::abs(derivative));
}

TEST(Mlp, ARadialOneIsHomogeneousAlongRays) {
  const Device device{DeviceKind::reference, 0};
  Mlp network({.channels = 2, .hidden_width = 16, .hidden_layers = 2, .radial = true}, device, 3);
  EXPECT_EQ(MlpConfig::from_json(network.config()).radial, true);
  const std::vector<double> directions = {0.6, -0.8, -0.3, 0.1, 0.0, 0.0}, times = {10.0, 400.0, 77.0};
  const auto answer = [&](double radius) {
    std::vector<double> points = directions;
    for (double& value : points) value *= radius;
    ForwardContext context;
    const NoGrad guard;
    return network
        .forward(Tensor::from_host(std::span<const double>(points), {3, 1, 1, 2}, device),
                 Tensor::from_host(std::span<const double>(times), {3}, device), {}, context)
        .to_host_double();
  };
  const std::vector<double> one = answer(1.0), far = answer(7.5), opposite = answer(-1.0);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(far[i], 7.5 * one[i], 1e-12);
    EXPECT_GT(std::abs(opposite[i] + one[i]), 1e-4) << "an odd function; only positive factors may come out";
  }
  for (const double value : {one[4], one[5]}) EXPECT_NEAR(value, 0.0, 1e-12);  // the origin stays
}

TEST(Mlp, SaysWhatItExpects) {
  Mlp network({.channels = 2});
  ForwardContext context;
  const Tensor t = Tensor::zeros({4}, {});
  EXPECT_THAT(message_of([&] {
                network.forward(Tensor::zeros({4, 1, 1, 3}, {}), t, {}, context);
              }),
              HasSubstr("(4, 1, 1, 3), expected (N, 1, 1, 2)"));
  EXPECT_THAT(message_of([&] {
                network.forward(Tensor::zeros({5, 1, 1, 2}, {}), t, {}, context);
              }),
              HasSubstr("timesteps have shape (4), expected (5)"));
  EXPECT_THAT(message_of([] { MlpConfig::from_json(R"({"_class_name": "Mlp", "activation": "tanh"})"); }),
              HasSubstr("field activation has the unsupported value \"tanh\""));
}

}  // namespace
}  // namespace tweedie
