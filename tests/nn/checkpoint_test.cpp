#include "nn/checkpoint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "nn/mlp.h"
#include "nn/unet.h"
#include "tests/nn/golden.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using io::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Checkpoint : public ::testing::Test {
 protected:
  /// The tensors of the saved network, to be tampered with and written again.
  struct Stored {
    std::vector<std::string> names;
    std::vector<Shape> shapes;
    std::vector<std::vector<float>> values;
    void write(const std::filesystem::path& path) const {
      std::vector<io::ArrayView> views;
      for (std::size_t i = 0; i < names.size(); ++i) views.push_back(io::view_of(names[i], values[i], shapes[i]));
      io::write_safetensors(path, std::move(views));
    }
    std::size_t at(const std::string& name) const {
      return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    }
  };
  Checkpoint() { save_network(folder_.path(), network_); }
  std::filesystem::path weights() const { return folder_ / weights_file_name(WeightKind::raw); }
  Stored stored() const {
    const io::SafetensorsFile file(weights());
    Stored result;
    for (const auto& [name, entry] : file.tensors()) {
      result.names.push_back(name);
      result.shapes.push_back(entry.shape);
      result.values.push_back(file.read_float32(name));
    }
    return result;
  }
  std::string load_message() const {
    return message_of([&] { load_network(folder_.path()); });
  }

  static UNetConfig config() {
    UNetConfig config;
    config.in_channels = config.out_channels = 1;
    config.block_out_channels = {4, 8};
    config.layers_per_block = 1;
    config.down_block_types = {"DownBlock2D", "AttnDownBlock2D"};
    config.up_block_types = {"AttnUpBlock2D", "UpBlock2D"};
    config.norm_num_groups = 2;
    return config;
  }
  TemporaryFolder folder_;
  UNet network_{config(), {}, 11};
};

TEST_F(Checkpoint, ReturnsTheSameValues) {
  const auto loaded = load_network(folder_.path());
  const auto before = network_.parameters(), after = loaded->parameters();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].name, after[i].name);
    EXPECT_EQ(before[i].value.to_host(), after[i].value.to_host()) << before[i].name;
  }
  EXPECT_EQ(loaded->config(), network_.config());
}

TEST_F(Checkpoint, ConvolutionsAreStoredOutputChannelInputChannelRowColumn) {
  const Tensor weight = [&] {
    for (const Parameter& parameter : network_.parameters())
      if (parameter.name == "down_blocks.1.resnets.0.conv1.weight") return parameter.value;
    return Tensor();
  }();
  ASSERT_EQ(weight.shape(), Shape({8, 3, 3, 4}));
  const io::SafetensorsFile file(weights());
  const std::vector<float> disk = file.read_float32("down_blocks.1.resnets.0.conv1.weight", Shape({8, 4, 3, 3}));
  const std::vector<float> memory = weight.to_host();
  for (std::size_t o = 0; o < 8; ++o)
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t k = 0; k < 9; ++k) EXPECT_EQ(disk[(o * 4 + i) * 9 + k], memory[(o * 9 + k) * 4 + i]);
}

TEST_F(Checkpoint, AveragedWeightsHaveTheirOwnFile) {
  std::vector<Parameter> average = network_.parameters();
  for (Parameter& parameter : average) parameter.value = Tensor::full(parameter.value.shape(), 0.25, {});
  save_network(folder_.path(), network_, average, WeightKind::average);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "diffusion_pytorch_model.ema.safetensors"));
  for (const Parameter& parameter : load_network(folder_.path(), WeightKind::average)->parameters())
    for (const float value : parameter.value.to_host()) ASSERT_EQ(value, 0.25f) << parameter.name;
  EXPECT_EQ(load_network(folder_.path())->parameters()[0].value.to_host(), network_.parameters()[0].value.to_host());

  average.pop_back();
  EXPECT_THAT(message_of([&] { save_network(folder_.path(), network_, average, WeightKind::average); }),
              HasSubstr("weights for"));
}

TEST_F(Checkpoint, UnderstandsTheFormerAttentionNames) {
  const auto network = load_network(testing::golden("unet_ddpm"));
  const std::vector<std::string> names =
      read_parameters(testing::golden("unet_ddpm") / weights_file_name(WeightKind::raw), network->parameters());
  const auto parameters = network->parameters();
  ASSERT_EQ(names.size(), parameters.size());
  int former = 0;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] != parameters[i].name) {
      ++former;
      EXPECT_THAT(names[i], AllOf(HasSubstr("attentions."), Not(HasSubstr(".to_"))));
    }
  EXPECT_EQ(former, 4 * 8);  // four attentions, four projections of weight and bias
}

TEST_F(Checkpoint, NamesMissingUnexpectedAndMisshapenTensors) {
  Stored tensors = stored();
  const std::size_t renamed = tensors.at("conv_out.bias");
  tensors.names[renamed] = "conv_out.shift";
  const std::size_t misshapen = tensors.at("conv_in.weight");
  tensors.shapes[misshapen] = {1, 4, 3, 3};
  tensors.write(weights());
  EXPECT_THAT(load_message(), AllOf(HasSubstr(weights().string()), HasSubstr("tensor conv_out.bias (1) is missing"),
                                    HasSubstr("unexpected tensor conv_out.shift (1)"),
                                    HasSubstr("tensor conv_in.weight has shape (1, 4, 3, 3), expected (4, 1, 3, 3)")));
}

TEST_F(Checkpoint, ChangesNothingWhereATensorDoesNotFit) {
  Stored tensors = stored();
  for (auto& values : tensors.values)
    for (float& value : values) value = 7.0f;
  tensors.names[tensors.at("time_embedding.linear_2.bias")] = "elsewhere";
  tensors.write(weights());
  const std::vector<float> before = network_.parameters()[0].value.to_host();
  EXPECT_THROW(read_parameters(weights(), network_.parameters()), Error);
  EXPECT_EQ(network_.parameters()[0].value.to_host(), before);
}

TEST_F(Checkpoint, TellsHowManyMoreTensorsDoNotFit) {
  UNetConfig wider = config();
  wider.block_out_channels = {8, 16};
  io::write_file_atomic(folder_ / "config.json", wider.to_json());
  EXPECT_THAT(load_message(), AllOf(HasSubstr("expected (8, 1, 3, 3)"), HasSubstr("more")));
}

TEST_F(Checkpoint, NamesTheFileThatIsMissing) {
  EXPECT_THAT(message_of([&] { load_network(folder_.path(), WeightKind::average); }),
              HasSubstr("diffusion_pytorch_model.ema.safetensors"));
  std::filesystem::remove(folder_ / "config.json");
  EXPECT_THAT(load_message(), HasSubstr("config.json"));
}

TEST_F(Checkpoint, RefusesATruncatedFile) {
  std::filesystem::resize_file(weights(), std::filesystem::file_size(weights()) - 4);
  EXPECT_THAT(load_message(), HasSubstr(weights().string()));
}

TEST_F(Checkpoint, NamesAnUnknownNetwork) {
  io::write_file_atomic(folder_ / "config.json", R"({"_class_name": "DiTTransformer2DModel"})");
  EXPECT_THAT(load_message(), AllOf(HasSubstr((folder_ / "config.json").string()), HasSubstr("DiTTransformer2DModel")));
}

TEST_F(Checkpoint, KeepsAnMlp) {
  const Mlp mlp({.channels = 3, .hidden_width = 5, .hidden_layers = 2, .time_channels = 4}, {}, 3);
  save_network(folder_.path(), mlp);
  const auto loaded = load_network(folder_.path());
  EXPECT_EQ(loaded->config(), mlp.config());
  EXPECT_EQ(loaded->parameters()[2].value.to_host(), mlp.parameters()[2].value.to_host());
  io::write_file_atomic(folder_ / "config.json", R"({"_class_name": "Mlp", "hidden_widht": 5})");
  EXPECT_THAT(load_message(), HasSubstr("unknown field hidden_widht"));
}

}  // namespace
}  // namespace tweedie
