// Whole networks against diffusers (U-Nets, tests/golden/make_golden.py) and PyTorch (transformers, make_dit.py):
// outputs, losses and every gradient.
#include <gtest/gtest.h>

#include <set>

#include "autograd/ops/loss.h"
#include "autograd/ops/reduction.h"
#include "nn/checkpoint.h"
#include "tests/nn/golden.h"

namespace tweedie {
namespace {

using testing::distance;
using testing::golden;
using testing::golden_tensor;
using testing::norm_of;
using testing::relative_distance;

struct Golden {
  std::unique_ptr<Network> network;
  io::SafetensorsFile io;
  Tensor sample, timesteps, labels;
  ForwardContext context;

  Golden(const std::string& name, Device device)
      : network(load_network(golden(name), WeightKind::raw, device)), io(golden(name) / "io.safetensors") {
    sample = to_channels_last(golden_tensor(io, "sample", device));
    timesteps = golden_tensor(io, "timesteps", device);
    if (io.contains("class_labels")) labels = golden_tensor(io, "class_labels", device);
  }
  Tensor forward() { return network->forward(sample, timesteps, labels, context); }
  Tensor expected(const std::string& name) const { return golden_tensor(io, name, network->device()); }
};

/// Relative norms. The files hold float32, which puts a floor of 3e-8 under the double backend's, and there it stands;
/// float32 stands at 1.2e-6 (outputs) and 4e-6 (gradients) at the worst, as diffusers' own float32 does.
struct Tolerance {
  double output, gradient;
};
Tolerance tolerance_on(Device device) {
  return device.kind == DeviceKind::reference ? Tolerance{1e-7, 1e-7} : Tolerance{5e-6, 2e-5};
}

class NetworkGolden : public ::testing::TestWithParam<std::tuple<std::string, DeviceKind>> {
 protected:
  std::string name_ = std::get<0>(GetParam());
  Device device_{std::get<1>(GetParam())};
};

TEST_P(NetworkGolden, OutputsAndLossesAreThoseOfPyTorch) {
  Golden test(name_, device_);
  const NoGrad guard;
  const Tensor output = test.forward();
  EXPECT_LT(relative_distance(to_channels_first(output), test.expected("output")), tolerance_on(device_).output);
  // What a float32 program that rounds its time embedding at each step gives: it is a user's own comparison.
  if (test.io.contains("output_float32")) {
    EXPECT_LT(relative_distance(to_channels_first(output), test.expected("output_float32")), 1e-5);
  }
  const Tensor loss = squared_error(output, to_channels_last(test.expected("target")));
  EXPECT_LT(relative_distance(loss, test.expected("loss")), tolerance_on(device_).output);
}

TEST_P(NetworkGolden, GradientsAreThoseOfPyTorch) {
  Golden test(name_, device_);
  test.sample.set_requires_grad(true);
  mean(squared_error(test.forward(), to_channels_last(test.expected("target")))).backward();
  EXPECT_LT(relative_distance(to_channels_first(test.sample.grad()), test.expected("gradient.sample")),
            tolerance_on(device_).gradient);

  double total = 0.0;
  std::set<std::string> unseen;
  for (const auto& [name, entry] : test.io.tensors()) {
    if (!name.starts_with("gradient.") || name == "gradient.sample") continue;
    unseen.insert(name);
    total = std::hypot(total, norm_of(test.expected(name).to_host_double()));
  }
  for (const Parameter& parameter : test.network->parameters()) {
    if (!parameter.value.requires_grad()) {
      EXPECT_FALSE(unseen.contains("gradient." + parameter.name)) << parameter.name << " is trained there";
      continue;
    }
    ASSERT_EQ(unseen.erase("gradient." + parameter.name), 1u) << parameter.name << " is not trained there";
    ASSERT_TRUE(parameter.value.grad().defined()) << parameter.name;
    Tensor gradient = parameter.value.grad();
    if (parameter.layout == ParameterLayout::convolution) gradient = to_channels_first(gradient);
    const std::vector<double> expected = test.expected("gradient." + parameter.name).to_host_double();
    // Some biases have no gradient but rounding: those before a norm of one channel a group, and to_k's.
    EXPECT_LT(distance(gradient.to_host_double(), expected),
              tolerance_on(device_).gradient * norm_of(expected) + 1e-7 * total)
        << parameter.name;
  }
  EXPECT_TRUE(unseen.empty()) << "no parameter for " << *unseen.begin();
}

INSTANTIATE_TEST_SUITE_P(All, NetworkGolden,
                         ::testing::Combine(::testing::Values("unet_default", "unet_ddpm", "unet_fourier", "unet_plain",
                                                              "unet_classes", "unet_class_times", "unet_identity",
                                                              "unet_learned", "dit_classes", "dit_sigma", "dit_plain"),
                                            ::testing::Values(DeviceKind::cpu, DeviceKind::reference)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::string(name_of(std::get<1>(info.param)));
                         });

TEST(DiTGolden, TapsAreTheTokensAfterEachBlock) {
  Golden test("dit_plain", {});
  std::map<std::string, Tensor> taps;
  for (const std::string& name : test.network->tap_names()) taps[name] = {};
  test.context.taps = &taps;
  const NoGrad guard;
  test.forward();
  ASSERT_EQ(taps.size(), 3u);
  for (const auto& [name, tokens] : taps)
    EXPECT_LT(relative_distance(tokens, test.expected("tap." + name)), tolerance_on({}).output) << name;
}

// Ours saved again is what diffusers wrote: the same configuration text, the same tensors bit for bit.
TEST(UNetCheckpoint, SavesWhatItLoaded) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "unet_saved_again";
  std::filesystem::create_directories(folder);
  const auto network = load_network(golden("unet_fourier"));
  save_network(folder, *network);
  EXPECT_EQ(io::read_text(folder / "config.json"), io::read_text(golden("unet_fourier") / "config.json"));
  const io::SafetensorsFile ours(folder / weights_file_name(WeightKind::raw));
  const io::SafetensorsFile theirs(golden("unet_fourier") / weights_file_name(WeightKind::raw));
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [name, entry] : theirs.tensors()) {
    EXPECT_EQ(ours.at(name).shape, entry.shape) << name;
    EXPECT_EQ(ours.read_float32(name), theirs.read_float32(name)) << name;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tweedie
