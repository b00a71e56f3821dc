#include "nn/dit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nn/checkpoint.h"
#include "tests/nn/golden.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using io::testing::TemporaryFolder;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

Tensor ramp(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.37f * static_cast<float>(i));
  return Tensor::from_host(std::span<const float>(values), shape, Device{});
}

json valid() {
  return json::parse(io::read_text(testing::golden("dit_classes") / "config.json"));
}

// Peebles and Xie 2023, table 1, for 32 x 32 x 4 latents and 1000 classes: 33 million parameters and 6.06 Gflops, which
// count a multiply-add as one.
TEST(DiT, SmallPresetHasTheSizeAndTheCostOfThePaper) {
  DiTConfig config = DiTConfig::preset("dit-s/2", 32, 4);
  config.num_classes = 1000;
  config.learn_sigma = true;
  const DiT network(config);
  EXPECT_EQ(network.parameter_count(), 32963360);
  EXPECT_NEAR(network.flops({1, 32, 32, 4}) / 2.0, 6.06e9, 0.01e9);
  EXPECT_EQ(network.label_classes(), 1001);
  EXPECT_EQ(network.null_label(), 1000);
}

TEST(DiT, StartsAsTheDiTCodeDoes) {
  DiTConfig config = DiTConfig::preset("dit-xxs/2", 8, 1);
  config.num_classes = 10;
  const DiT network(config, {}, 5);
  for (const Parameter& parameter : network.parameters()) {
    const std::string& name = parameter.name;
    const std::vector<double> values = parameter.value.to_host_double();
    const double n = static_cast<double>(values.size());
    const double deviation = testing::norm_of(values) / std::sqrt(n);
    if (name.find("adaLN_modulation") != std::string::npos || name.starts_with("final_layer") ||
        name.ends_with(".bias")) {
      EXPECT_EQ(deviation, 0.0) << name;
    } else if (name.starts_with("t_embedder") || name.starts_with("y_embedder")) {
      EXPECT_NEAR(deviation, 0.02, 4.0 * 0.02 / std::sqrt(2.0 * n)) << name;
    } else if (name != "pos_embed") {  // Glorot: variance 2 / (in + out)
      const Shape& shape = parameter.value.shape();
      const auto out = static_cast<double>(shape[0]), in = static_cast<double>(shape.count() / shape[0]);
      EXPECT_NEAR(deviation, std::sqrt(2.0 / (in + out)), 4.0 * std::sqrt(0.2 / n) * std::sqrt(2.0 / (in + out)))
          << name;
    }
  }
}

TEST(DiT, AnswersZeroAtTheStart) {
  DiT network(DiTConfig::preset("dit-xxs/2", 8, 1), {}, 5);
  ForwardContext context;
  const NoGrad guard;
  const Tensor t = ramp({2}), x = ramp({2, 8, 8, 1});
  const std::vector<float> start = network.forward(x, t, {}, context).to_host();
  EXPECT_EQ(start, std::vector<float>(128, 0.0f));
}

TEST(DiT, SurvivesTheRoundTrip) {
  for (const char* name : {"dit_classes", "dit_sigma", "dit_plain"}) {
    const std::string text = io::read_text(testing::golden(name) / "config.json");
    EXPECT_EQ(json::parse(DiTConfig::from_json(text).to_json()), json::parse(text)) << name;
  }
  const TemporaryFolder folder;
  const auto network = load_network(testing::golden("dit_sigma"));
  save_network(folder.path(), *network);
  const io::SafetensorsFile ours(folder / weights_file_name(WeightKind::raw));
  const io::SafetensorsFile theirs(testing::golden("dit_sigma") / weights_file_name(WeightKind::raw));
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [name, entry] : theirs.tensors()) {
    EXPECT_EQ(ours.at(name).shape, entry.shape) << name;
    EXPECT_EQ(ours.read_float32(name), theirs.read_float32(name)) << name;
  }
}

TEST(DiT, NamesTheFieldThatIsWrong) {
  const std::vector<std::pair<std::string, json>> wrong = {{"input_size", 7},   {"input_size", "8"},
                                                           {"patch_size", 0},   {"hidden_size", 18},
                                                           {"num_heads", 3},    {"mlp_ratio", -1.0},
                                                           {"mlp_ratio", 1e-9}, {"class_dropout_prob", 1.0},
                                                           {"num_classes", -2}, {"depth", std::int64_t{1} << 30},
                                                           {"learn_sigma", 1},  {"width", 8}};
  for (const auto& [field, value] : wrong) {
    json document = valid();
    document[field] = value;
    EXPECT_THAT(
        message_of([&] { DiTConfig::from_json(document.dump(), "some/config.json"); }),
        AllOf(HasSubstr("some/config.json"), HasSubstr("field " + (field == "num_heads" ? "hidden_size" : field))))
        << field << " " << value;
  }
  EXPECT_THROW(DiTConfig::preset("dit-huge/2", 8), UsageError);
  EXPECT_THROW(DiTConfig::preset("dit-s", 8), UsageError);
  EXPECT_THROW(DiTConfig::preset("dit-s/x", 8), UsageError);
}

TEST(DiT, NamesWhatIsWrongWithItsInputs) {
  const auto network = load_network(testing::golden("dit_classes"));
  ForwardContext context;
  const Tensor x = ramp({2, 8, 8, 1}), t = ramp({2});
  const std::vector<std::int64_t> values = {1, 4};
  const Tensor labels = Tensor::from_host(std::span<const std::int64_t>(values), {2}, Device{});
  EXPECT_THAT(message_of([&] {
                network->forward(ramp({2, 10, 10, 1}), t, labels, context);
              }),
              HasSubstr("(2, 10, 10, 1), expected (N, 8, 8, 1)"));
  EXPECT_THAT(message_of([&] { network->forward(x, ramp({3}), labels, context); }), HasSubstr("expected (2)"));
  EXPECT_THAT(message_of([&] { network->forward(x, t, {}, context); }), HasSubstr("class labels are missing"));
  EXPECT_THAT(message_of([&] {
                load_network(testing::golden("dit_plain"))->forward(ramp({2, 7, 7, 1}), t, labels, context);
              }),
              HasSubstr("not conditioned"));
}

TEST(Networks, PrecisionIsFloat32OrBfloat16) {
  EXPECT_THAT(message_of([] { parse_precision("float16"); }), HasSubstr("expected float32 or bfloat16"));
}

}  // namespace
}  // namespace tweedie
