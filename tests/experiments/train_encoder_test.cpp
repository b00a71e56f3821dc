#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "nn/io/file.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TrainEncoder : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  Outcome train(const std::string& out, const std::string& resolution) const {
    return run_binary("train_encoder",
                      {"--data", "fashion-mnist", "--subset", "64", "--resolution", resolution, "--steps", "4",
                       "--batch", "8", "--base-channels", "8", "--threads", "1", "--out", path(out)});
  }
  Outcome align(const std::string& out, const std::string& layer) const {
    return run_binary("train_dsm", {"--data",        "fashion-mnist",
                                    "--subset",      "64",
                                    "--resolution",  "8",
                                    "--network",     "dit:32x2/2",
                                    "--steps",       "2",
                                    "--batch",       "8",
                                    "--held-out",    "0",
                                    "--samples",     "0",
                                    "--align",       "0.5",
                                    "--align-layer", layer,
                                    "--encoder",     path("run/encoder"),
                                    "--threads",     "1",
                                    "--out",         path(out)});
  }
  TemporaryFolder temporary_;
};

TEST_F(TrainEncoder, WritesAnEncoderThatTrainingAlignsWith) {
  const Outcome outcome = train("run", "8");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto results = nlohmann::json::parse(io::read_text(path("run/results.json")));
  EXPECT_EQ(results.at("test_n"), 10000);
  EXPECT_EQ(results.at("features"), 32);
  EXPECT_GT(results.at("test_accuracy"), 0.0);
  ASSERT_EQ(train("again", "8").status, 0);
  EXPECT_EQ(io::read_text(path("run/results.json")), io::read_text(path("again/results.json")));

  const Outcome aligned = align("aligned", "blocks.0");
  ASSERT_EQ(aligned.status, 0) << aligned.output;
  EXPECT_TRUE(fs::exists(path("aligned/checkpoints/step-00000002/alignment.safetensors")));
  const Outcome refused = align("bad", "blocks.7");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.last_error_line(), HasSubstr("no layer 'blocks.7'"));
  EXPECT_FALSE(fs::exists(path("bad")));
}

TEST_F(TrainEncoder, RefusesSidesThatAreNoMultipleOfFour) {
  const Outcome refused = train("bad", "10");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.last_error_line(), HasSubstr("multiples of 4"));
}

}  // namespace
}  // namespace tweedie::experiments
