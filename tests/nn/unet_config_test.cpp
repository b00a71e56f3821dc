#include "nn/unet_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/nn/golden.h"
#include "tests/nn/io_support.h"

namespace tweedie {
namespace {

using io::testing::message_of;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

json valid() {
  return json::parse(io::read_text(testing::golden("unet_default") / "config.json"));
}
std::string complaint(const json& document) {
  return message_of([&] { UNetConfig::from_json(document.dump(), "some/config.json"); });
}

// inspect.signature(UNet2DModel.__init__) of diffusers 0.42.
constexpr const char* diffusers_defaults = R"({
  "sample_size": null, "in_channels": 3, "out_channels": 3, "center_input_sample": false,
  "time_embedding_type": "positional", "time_embedding_dim": null, "freq_shift": 0, "flip_sin_to_cos": true,
  "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
  "mid_block_type": "UNetMidBlock2D",
  "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
  "block_out_channels": [224, 448, 672, 896], "layers_per_block": 2, "mid_block_scale_factor": 1,
  "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu",
  "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": null, "norm_eps": 1e-05,
  "resnet_time_scale_shift": "default", "add_attention": true, "class_embed_type": null, "num_class_embeds": null,
  "num_train_timesteps": null})";

TEST(UNetConfig, DefaultsAreThoseOfDiffusers) {
  json written = json::parse(UNetConfig().to_json());
  EXPECT_EQ(written.at("_class_name"), "UNet2DModel");
  written.erase("_class_name");
  written.erase("_diffusers_version");
  EXPECT_EQ(written, json::parse(diffusers_defaults));
  EXPECT_EQ(UNetConfig::from_json("{}"), UNetConfig());
}

TEST(UNetConfig, SurvivesTheRoundTrip) {
  for (const char* name : {"default", "ddpm", "fourier", "plain", "classes", "class_times", "identity", "learned"}) {
    const std::string text = io::read_text(testing::golden(std::string("unet_") + name) / "config.json");
    const UNetConfig config = UNetConfig::from_json(text);
    EXPECT_EQ(UNetConfig::from_json(config.to_json()), config) << name;
    const json before = json::parse(text), after = json::parse(config.to_json());
    for (const auto& [field, value] : before.items()) {
      if (field == "_diffusers_version") continue;
      EXPECT_EQ(after.at(field), value) << name << " " << field;
    }
  }
}

TEST(UNetConfig, NamesUnknownFields) {
  json document = valid();
  document["cross_attention_dim"] = 768;
  EXPECT_THAT(complaint(document),
              AllOf(HasSubstr("some/config.json"), HasSubstr("unknown field cross_attention_dim")));
  document = valid();
  document["_class_name"] = "UNet2DConditionModel";
  EXPECT_THAT(complaint(document), HasSubstr("field _class_name is \"UNet2DConditionModel\""));
}

TEST(UNetConfig, NamesFieldsOfTheWrongType) {
  for (const auto& [field, value] : std::map<std::string, json>{{"in_channels", "3"},
                                                                {"in_channels", 2.5},
                                                                {"norm_num_groups", nullptr},
                                                                {"center_input_sample", 1},
                                                                {"act_fn", nullptr},
                                                                {"block_out_channels", 8},
                                                                {"down_block_types", json::array({1, 2})},
                                                                {"norm_eps", "small"},
                                                                {"attention_head_dim", json::array({8})},
                                                                {"sample_size", json::array({8, 8, 8})}}) {
    json document = valid();
    document[field] = value;
    EXPECT_THAT(complaint(document), AllOf(HasSubstr("field " + field + " is " + value.dump()), HasSubstr("expected")));
  }
}

TEST(UNetConfig, NamesUnsupportedValues) {
  const std::vector<std::pair<std::string, json>> unsupported = {
      {"act_fn", "mish"},
      {"down_block_types", {"DownBlock2D", "SkipDownBlock2D"}},
      {"up_block_types", {"AttnUpBlock2D", "ResnetUpsampleBlock2D"}},
      {"mid_block_type", "UNetMidBlock2DCrossAttn"},
      {"downsample_type", "fir"},
      {"upsample_type", "bilinear"},
      {"resnet_time_scale_shift", "spatial"},
      {"time_embedding_type", "rotary"},
      {"class_embed_type", "projection"},
      {"downsample_padding", 2},
      {"dropout", 1.0},
      {"in_channels", 0},
      {"layers_per_block", -1},
      {"mid_block_scale_factor", 0},
      {"block_out_channels", {8, 1 << 30}},
  };
  for (const auto& [field, value] : unsupported) {
    json document = valid();
    document[field] = value;
    EXPECT_THAT(complaint(document), HasSubstr("field " + field)) << value;
  }
  json document = valid();
  document["up_block_types"] = {"UpBlock2D"};
  EXPECT_THAT(complaint(document), HasSubstr("2 down_block_types, 1 up_block_types and 2 block_out_channels"));
  document = valid();
  document["time_embedding_type"] = "learned";
  EXPECT_THAT(complaint(document), HasSubstr("needs the field num_train_timesteps"));
}

TEST(UNetConfig, RefusesTextThatIsNoJson) {
  EXPECT_THAT(message_of([] { UNetConfig::from_json("{\"in_channels\": ", "c.json"); }),
              HasSubstr("c.json: not valid JSON at byte 17"));
  EXPECT_THAT(message_of([] { UNetConfig::from_json("[1]", "c.json"); }), HasSubstr("expected a JSON object"));
  EXPECT_THAT(message_of([] { UNetConfig::from_json("{\"norm_eps\": 1e999}", "c.json"); }), HasSubstr("c.json"));
}

TEST(UNetConfig, NamesTheKnownPresets) {
  EXPECT_THROW(UNetConfig::preset("unet-xl"), UsageError);
  EXPECT_THAT(message_of([] { UNetConfig::preset("unet-xl"); }),
              HasSubstr("unknown network preset \"unet-xl\"; known: unet-xs, unet-s, unet-m, unet-conv-xs"));
  for (const std::string& name : UNetConfig::preset_names()) UNetConfig::preset(name).validate();
  EXPECT_EQ(UNetConfig::preset("unet-s", 3).in_channels, 3);
}

}  // namespace
}  // namespace tweedie
