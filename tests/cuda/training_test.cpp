// Whole networks on cuda against the same networks on the cpu: training steps and samplers, eager and as graphs.
#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/samplers.h"
#include "diffusion/trainer.h"
#include "kernels/runtime/cuda_choices.h"
#include "kernels/runtime/library.h"
#include "kernels/runtime/random.h"
#include "nn/dit.h"
#include "nn/mlp.h"
#include "nn/unet.h"

namespace tweedie {
namespace {

constexpr Device cpu{DeviceKind::cpu, 0}, cuda{DeviceKind::cuda, 0};
constexpr std::int64_t side = 8;

std::shared_ptr<Network> make_mlp(Device device) {
  MlpConfig config;
  config.height = config.width = side;
  config.channels = 1;
  config.hidden_width = 24;
  config.hidden_layers = 2;
  return std::make_shared<Mlp>(config, device, 1);
}

/// Two levels, attention at the lower one, dropout: every kind of layer that the presets have.
std::shared_ptr<Network> make_unet(Device device) {
  UNetConfig config;
  config.in_channels = config.out_channels = 1;
  config.block_out_channels = {8, 16};
  config.down_block_types = {"DownBlock2D", "AttnDownBlock2D"};
  config.up_block_types = {"AttnUpBlock2D", "UpBlock2D"};
  config.layers_per_block = 1;
  config.norm_num_groups = 4;
  config.dropout = 0.1;
  return std::make_shared<UNet>(config, device, 1);
}

using MakeNetwork = std::shared_ptr<Network> (*)(Device);

NetworkScore make_model(MakeNetwork make, Device device) {
  return NetworkScore(make(device), Process::linear(), Parameterisation::plain(View::v));
}

std::shared_ptr<const DeviceImages> random_images(Device device) {
  constexpr std::int64_t count = 16;
  std::vector<std::uint8_t> pixels(count * side * side);
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(uniform_integer({.seed = 5}, static_cast<std::uint32_t>(i), 256));
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(std::span<const std::uint8_t>(pixels), {count, side * side}, device);
  images->height = images->width = side;
  images->channels = 1;
  return images;
}

struct Trained {
  std::vector<float> weights, averages;
  std::vector<double> losses, norms;
};

Trained train(MakeNetwork make, Device device, bool graph, std::int64_t micro_batch = 0,
              Precision precision = Precision::float32) {
  NetworkScore model = make_model(make, device);
  model.network().set_precision(precision);
  const Process process = Process::linear();
  const Objective objective(std::make_shared<NoisedData>(random_images(device), process),
                            std::make_shared<ConditionalTarget>(), parse_weighting("raw"),
                            parse_noise_levels("uniform", process));
  TrainerOptions options;
  options.steps = 3;
  options.batch = 6;
  options.micro_batch = micro_batch;
  options.log_every = 1;
  options.graph = graph;
  options.optimizer.clip_norm = 0.5;
  options.optimizer.weight_decay = 0.01;
  // Adam divides by the size of a gradient: with its usual epsilon a rounding of a vanishing one decides a sign.
  options.optimizer.epsilon = 1e-2;
  Trainer trainer(model, objective, nullptr, options);
  Trained result;
  trainer.run(3, {.log = [&](const TrainingLog& log) {
                result.losses.push_back(log.loss.mean());
                result.norms.push_back(log.gradient_norm);
              }});
  for (const Parameter& parameter : model.network().parameters())
    for (const float value : parameter.value.to_host()) result.weights.push_back(value);
  for (const Parameter& parameter : trainer.average())
    for (const float value : parameter.value.to_host()) result.averages.push_back(value);
  return result;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

std::shared_ptr<Network> make_dit(Device device) {
  DiTConfig config;
  config.input_size = side;
  config.in_channels = 1;
  config.hidden_size = 16;
  config.depth = 2;
  config.num_heads = 2;
  config.num_classes = 0;
  config.learn_sigma = false;
  return std::make_shared<DiT>(config, device, 1);
}

class CudaTraining : public testing::TestWithParam<MakeNetwork> {
 protected:
  ~CudaTraining() override { cuda_choices() = {}; }
  /// Products by cuBLAS and convolutions by cuDNN from here on; says why not where they cannot be used.
  std::string use_libraries() {
    for (const CudaLibrary library : {CudaLibrary::cublas, CudaLibrary::cudnn})
      if (std::string problem = why_unavailable(library, cuda); !problem.empty()) return problem;
    cuda_choices() = {.matmul = Implementation::library, .conv2d = Implementation::library};
    return {};
  }
  void expect_steps_of_the_cpu() {
    const Trained expected = train(GetParam(), cpu, false), got = train(GetParam(), cuda, false);
    ASSERT_EQ(got.losses.size(), 3u);
    for (std::size_t step = 0; step < 3; ++step) {
      EXPECT_NEAR(got.losses[step], expected.losses[step], 2e-6 * expected.losses[step]) << "step " << step;
      EXPECT_NEAR(got.norms[step], expected.norms[step], 1e-5 * expected.norms[step]) << "step " << step;
    }
    // Three steps move a weight by up to 3e-4 (the gradients are clipped to a norm of 0.5).
    const double weights = largest_difference(got.weights, expected.weights);
    EXPECT_LT(weights, 3e-7);
    EXPECT_LT(largest_difference(got.averages, expected.averages), 3e-7);
    RecordProperty("largest_weight_difference", std::to_string(weights));
  }
  void expect_bits_of_eager_steps(std::int64_t micro_batch) {
    const Trained eager = train(GetParam(), cuda, false, micro_batch);
    const Trained graph = train(GetParam(), cuda, true, micro_batch);
    EXPECT_EQ(graph.weights, eager.weights);
    EXPECT_EQ(graph.averages, eager.averages);
    EXPECT_EQ(graph.losses, eager.losses);
    EXPECT_EQ(graph.norms, eager.norms);
  }
};

TEST_P(CudaTraining, ThreeStepsEqualThoseOfTheCpu) {
  expect_steps_of_the_cpu();
}

// Both round the same activations to 8 bits, some ten times one after another; where a sum in another order falls on
// the other side of a tie, one of them is a unit off. Attention alone rounds more on cuda: the probabilities. It tells
// in the U-Net; in the DiT's first steps its gates, which start at zero, hide it.
TEST_P(CudaTraining, ThreeStepsInBfloat16FollowThoseOfTheCpu) {
  const Trained expected = train(GetParam(), cpu, false, 0, Precision::bfloat16);
  const Trained got = train(GetParam(), cuda, false, 0, Precision::bfloat16);
  const Trained unrounded = train(GetParam(), cpu, false);
  const bool attends = GetParam() == &make_unet;
  const double of_loss = attends ? 0x1p-11 : 1e-6, of_norm = attends ? 0x1p-8 : 1e-5,
               of_steps = attends ? 0x1p-6 : 1e-4;
  ASSERT_EQ(got.losses.size(), 3u);
  double losses = 0.0, norms = 0.0;
  for (std::size_t step = 0; step < 3; ++step) {
    losses = std::max(losses, std::abs(got.losses[step] / expected.losses[step] - 1.0));
    norms = std::max(norms, std::abs(got.norms[step] / expected.norms[step] - 1.0));
  }
  EXPECT_LT(losses, of_loss);
  EXPECT_LT(norms, of_norm);
  RecordProperty("relative_difference_of_losses", fmt::format("{:.2e}", losses));
  RecordProperty("relative_difference_of_norms", fmt::format("{:.2e}", norms));
  EXPECT_NE(got.losses, unrounded.losses) << "nothing was rounded";
  // The steps taken, as a whole: the size of their difference over their own.
  std::vector<float> start;
  for (const Parameter& parameter : GetParam()(cpu)->parameters())
    for (const float value : parameter.value.to_host()) start.push_back(value);
  double moved = 0.0, apart = 0.0;
  for (std::size_t i = 0; i < start.size(); ++i) {
    moved += std::pow(static_cast<double>(expected.weights[i]) - start[i], 2);
    apart += std::pow(static_cast<double>(got.weights[i]) - expected.weights[i], 2);
  }
  EXPECT_LT(std::sqrt(apart / moved), of_steps);
  RecordProperty("relative_difference_of_steps", fmt::format("{:.2e}", std::sqrt(apart / moved)));
  const Trained graph = train(GetParam(), cuda, true, 4, Precision::bfloat16);
  const Trained eager = train(GetParam(), cuda, false, 4, Precision::bfloat16);
  EXPECT_EQ(graph.weights, eager.weights);
  EXPECT_EQ(graph.losses, eager.losses);
}

TEST_P(CudaTraining, ThreeStepsByTheLibrariesEqualThoseOfTheCpu) {
  if (const std::string problem = use_libraries(); !problem.empty()) GTEST_SKIP() << problem;
  const std::int64_t products = calls_of(CudaLibrary::cublas), convolutions = calls_of(CudaLibrary::cudnn);
  expect_steps_of_the_cpu();
  EXPECT_GT(calls_of(CudaLibrary::cublas), products);
  if (GetParam() == &make_unet) {
    EXPECT_GT(calls_of(CudaLibrary::cudnn), convolutions);
  }
}

TEST_P(CudaTraining, GraphsGiveTheBitsOfEagerSteps) {
  for (const std::int64_t micro_batch : {0, 4}) expect_bits_of_eager_steps(micro_batch);
}

TEST_P(CudaTraining, GraphsOfLibraryCallsGiveTheBitsOfEagerSteps) {
  if (const std::string problem = use_libraries(); !problem.empty()) GTEST_SKIP() << problem;
  expect_bits_of_eager_steps(0);
}

std::vector<float> sampled(MakeNetwork make, Device device, const std::string& name, bool graph,
                           Precision precision = Precision::float32) {
  NetworkScore model = make_model(make, device);
  model.network().set_precision(precision);
  const SamplerState start = start_from_noise(model.process(), {side, side, 1}, {3, 4, 5}, 7, device);
  const SamplerOptions options{.steps = 3, .seed = 7, .batch = 2, .graph = graph};
  return sampler_named(name)(model, start, options).to_host();
}

TEST_P(CudaTraining, SamplersEqualThoseOfTheCpu) {
  for (const std::string name : {"heun", "dpm++2m", "ancestral"}) {
    const std::vector<float> expected = sampled(GetParam(), cpu, name, false);
    const std::vector<float> got = sampled(GetParam(), cuda, name, false);
    double scale = 0.0;
    for (const float value : expected) scale = std::max(scale, std::abs(static_cast<double>(value)));
    EXPECT_LT(largest_difference(got, expected), 2e-5 * scale) << name;
    EXPECT_EQ(sampled(GetParam(), cuda, name, true), got) << name;
    const std::vector<float> rounded = sampled(GetParam(), cuda, name, false, Precision::bfloat16);
    EXPECT_LT(largest_difference(rounded, expected), 0x1p-7 * scale) << name << " in bfloat16";
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CudaTraining, testing::Values(&make_mlp, &make_unet, &make_dit),
                         [](const auto& info) { return info.index == 0   ? "Mlp"
                                                       : info.index == 1 ? "UNet"
                                                                         : "DiT"; });

}  // namespace
}  // namespace tweedie
