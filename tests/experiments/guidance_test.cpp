// Networks by their names, trained on labelled images with dropped labels, and sampled with classifier-free guidance.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "nn/io/npy.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Guidance : public testing::Test {
 protected:
  Outcome train(const std::string& out, const std::string& network, const std::vector<std::string>& others) const {
    std::vector<std::string> arguments = {"--data",      "shapes", "--subset",  "64",     "--resolution", "8",
                                          "--steps",     "3",      "--batch",   "8",      "--held-out",   "8",
                                          "--log-every", "1",      "--samples", "4",      "--threads",    "1",
                                          "--network",   network,  "--out",     path(out)};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("train_dsm", arguments);
  }
  Outcome sample(const std::string& model, const std::string& out, const std::vector<std::string>& others) const {
    std::vector<std::string> arguments = {"--checkpoint", path(model) + "/checkpoints/step-00000003",
                                          "--weights",    "raw",
                                          "--n",          "3",
                                          "--steps",      "4",
                                          "--threads",    "1",
                                          "--out",        path(out)};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("sample", arguments);
  }
  std::vector<float> images(const std::string& out) const {
    const io::HostArray array = io::read_npy(fs::path(path(out)) / "arrays/samples.npy");
    const std::span<const float> values = array.as<float>();
    return {values.begin(), values.end()};
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  TemporaryFolder temporary_;
};

TEST_F(Guidance, MovesSamplesBetweenTheNullClassAndTheClass) {
  const Outcome trained = train("run", "unet:8x1", {"--conditional"});
  ASSERT_EQ(trained.status, 0) << trained.output;
  const auto info = nlohmann::json::parse(io::read_text(path("run") + "/checkpoints/step-00000003/tweedie.json"));
  const auto config = nlohmann::json::parse(io::read_text(path("run") + "/checkpoints/step-00000003/config.json"));
  EXPECT_EQ(config.at("num_class_embeds").get<int>(), info.at("null_label").get<int>() + 1);

  for (const auto& [out, weight] :
       {std::pair("plain", ""), std::pair("one", "1"), std::pair("none", "0"), std::pair("strong", "3")}) {
    std::vector<std::string> options = {"--class", "1"};
    if (*weight != '\0') options.insert(options.end(), {"--guidance", weight});
    const Outcome outcome = sample("run", out, options);
    ASSERT_EQ(outcome.status, 0) << outcome.output;
  }
  EXPECT_EQ(images("plain"), images("one"));
  EXPECT_NE(images("none"), images("one"));
  EXPECT_NE(images("strong"), images("one"));
  // Unconditional samples do not depend on the class.
  ASSERT_EQ(sample("run", "other", {"--class", "0", "--guidance", "0"}).status, 0);
  EXPECT_EQ(images("none"), images("other"));

  const Outcome refused = sample("run", "bad", {"--class", info.at("null_label").dump()});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.last_error_line(), HasSubstr("is outside"));
}

TEST_F(Guidance, NeedsANullClass) {
  ASSERT_EQ(train("run", "mlp:8x1", {"--conditional", "--label-drop", "0"}).status, 0);
  const Outcome refused = sample("run", "bad", {"--class", "1", "--guidance", "2"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.last_error_line(), HasSubstr("no null class"));
  EXPECT_FALSE(fs::exists(path("bad")));
}

TEST_F(Guidance, EveryKindOfNetworkTrainsAndSamples) {
  int runs = 0;
  for (const std::string network : {"dit:32x2/2", "dit-xxs/4", "unet-conv:8x1", "mlp:16x2:relu", "radial-mlp:16x2"}) {
    const std::string name = "run" + std::to_string(runs++);
    const Outcome trained = train(name, network, {"--conditional"});
    ASSERT_EQ(trained.status, 0) << network << "\n" << trained.output;
    const Outcome sampled = sample(name, name + "-samples", {"--class", "2,0", "--guidance", "1.5"});
    EXPECT_EQ(sampled.status, 0) << network << "\n" << sampled.output;
  }
}

TEST_F(Guidance, RefusesSpecsThatMeanNothing) {
  for (const auto& [network, message] :
       std::vector<std::pair<std::string, std::string>>{{"dit-s", "followed by /PATCH"},
                                                        {"dit:32x2/3", "no whole patches of 3"},
                                                        {"dit:32y", "expected sizes"},
                                                        {"mlp:8x1:tanh", "activation"},
                                                        {"unet-conv:0", "expected sizes"},
                                                        {"unet-conv-xl", "unet-conv-m"}}) {
    const Outcome outcome = train("bad", network, {});
    EXPECT_NE(outcome.status, 0) << network;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message)) << network;
    EXPECT_FALSE(fs::exists(path("bad"))) << network;
  }
}

}  // namespace
}  // namespace tweedie::experiments
