#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "diffusion/checkpoint.h"
#include "nn/io/file.h"
#include "nn/io/npz.h"
#include "nn/mlp.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

/// A checkpoint that `sample` and `evaluate_score` read: a small network on grey pictures of 4 x 4.
class CheckpointReaders : public testing::Test {
 protected:
  CheckpointReaders() {
    write_checkpoint();
    std::vector<float> points(3 * 16);
    for (std::size_t i = 0; i < points.size(); ++i) points[i] = std::cos(static_cast<float>(i));
    io::write_npy(path("z.npy"), points, {3, 1, 4, 4});
    io::write_npy(path("t.npy"), std::vector<float>{0.1F, 0.5F, 0.9F}, {3});
  }
  void write_checkpoint() const {
    fs::remove_all(path("c"));
    fs::create_directories(path("c"));
    MlpConfig config;
    config.height = config.width = 4;
    config.channels = 1;
    config.hidden_width = 16;
    config.hidden_layers = 1;
    const NetworkScore model(std::make_shared<Mlp>(config, Device{}, 1), Process::linear(),
                             Parameterisation::plain(View::v));
    CheckpointInfo info;
    info.height = info.width = 4;
    info.channels = 1;
    save_checkpoint(path("c"), model, {}, info);
  }
  Outcome evaluate(const Limits& limits = {}) const {
    return run_binary(
        "evaluate_score",
        {"--checkpoint", path("c"), "--points", path("z.npy"), "--t", path("t.npy"), "--out", path("o.npz")}, limits);
  }
  Outcome sample(const Limits& limits = {}) const {
    return run_binary("sample", {"--checkpoint", path("c"), "--n", "4", "--steps", "2", "--out", path("s")}, limits);
  }
  /// Both programs say `message` in their one line, and write nothing. The checkpoint is then made anew.
  void expect_refusals(const std::string& message) const {
    for (const Outcome& outcome : {evaluate(), sample()}) {
      EXPECT_EQ(outcome.status, 1) << outcome.output;
      EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
      EXPECT_EQ(outcome.error_lines(), 1U) << outcome.errors;
      EXPECT_FALSE(fs::exists(path("o.npz")));
      EXPECT_FALSE(fs::exists(path("s")));
    }
    write_checkpoint();
  }
  /// Changes the header of the weights; `change` gets its JSON.
  template <typename Change>
  void edit_weights(const Change& change) const {
    const std::string before = io::read_text(weights());
    std::uint64_t size = 0;
    std::memcpy(&size, before.data(), 8);
    auto header = ordered_json::parse(before.substr(8, size));
    change(header);
    const std::string text = header.dump();
    size = text.size();
    std::ofstream file(weights(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), 8);
    std::memcpy(&size, before.data(), 8);
    file << text << before.substr(8 + size);
  }
  void edit_config(const std::string& key, const ordered_json& value) const {
    auto config = ordered_json::parse(io::read_text(path("c/config.json")));
    config[key] = value;
    std::ofstream(path("c/config.json")) << config.dump();
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  std::string weights() const { return path("c/diffusion_pytorch_model.safetensors"); }

  TemporaryFolder temporary_;
};

TEST_F(CheckpointReaders, ViewsOfOneAnswerAgree) {
  ASSERT_EQ(evaluate().status, 0);
  const auto written = io::read_npz(path("o.npz"));
  const io::HostArray points = io::read_npy(path("z.npy"));
  const auto z = points.as<float>(), eps = written.at("eps").as<float>(), x0 = written.at("x0").as<float>(),
             v = written.at("v").as<float>(), score = written.at("score").as<float>();
  // The linear path: z = (1 - t) x0 + t eps, v = eps - x0, score = -eps / t.
  const double levels[] = {0.1F, 0.5F, 0.9F};
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double t = levels[i / 16];
    EXPECT_NEAR((1.0 - t) * x0[i] + t * eps[i], z[i], 1e-6);
    EXPECT_NEAR(eps[i] - x0[i], v[i], 4e-6);
    EXPECT_NEAR(-eps[i] / t, score[i], 2e-5);
  }
}

TEST_F(CheckpointReaders, WeightsMustBeThoseOfTheNetwork) {
  edit_weights([](ordered_json& header) { header.erase("output.bias"); });
  expect_refusals("belong to no tensor");
  edit_weights([](ordered_json& header) { header["output.bias"]["shape"] = {4, 4}; });
  expect_refusals("output.bias");
  edit_weights([](ordered_json& header) {
    header["stranger"] = header["output.bias"];
    header.erase("output.bias");
  });
  expect_refusals("stranger");
  edit_weights([](ordered_json& header) { header["output.bias"]["data_offsets"] = {0, 64}; });
  expect_refusals("diffusion_pytorch_model.safetensors");
  edit_weights([](ordered_json& header) { header["output.bias"]["data_offsets"] = {1 << 30, (1 << 30) + 64}; });
  expect_refusals("output.bias");
  edit_weights([](ordered_json& header) { header["output.bias"]["dtype"] = "F31"; });
  expect_refusals("F31");
  fs::resize_file(weights(), fs::file_size(weights()) / 2);
  expect_refusals("diffusion_pytorch_model.safetensors");
  fs::resize_file(weights(), 4);
  expect_refusals("diffusion_pytorch_model.safetensors");
  fs::remove(weights());
  expect_refusals("diffusion_pytorch_model.safetensors");
}

TEST_F(CheckpointReaders, ConfigurationsAreChecked) {
  edit_config("hidden_witdh", 16);
  expect_refusals("hidden_witdh");
  edit_config("hidden_width", "wide");
  expect_refusals("hidden_width");
  edit_config("_class_name", "UNet3DModel");
  expect_refusals("UNet3DModel");
  std::ofstream(path("c/config.json")) << "{\"_class_name\": ";
  expect_refusals("config.json");
  std::ofstream(path("c/tweedie.json")) << "{}";
  expect_refusals("tweedie.json");
  fs::remove_all(path("c/config.json"));
  expect_refusals("config.json");
}

TEST_F(CheckpointReaders, AFullDiskLeavesNothingHalfWritten) {
  const Outcome evaluated = evaluate({.file_size = 1024});
  EXPECT_EQ(evaluated.status, 1);
  EXPECT_THAT(evaluated.last_error_line(), HasSubstr("o.npz"));
  const Outcome sampled = sample({.file_size = 1024});
  EXPECT_EQ(sampled.status, 1);
  EXPECT_THAT(sampled.last_error_line(), HasSubstr("File too large"));
  for (const auto& entry : fs::recursive_directory_iterator(temporary_.path())) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("partial")));
    EXPECT_NE(entry.path().filename(), "o.npz");
    EXPECT_NE(entry.path().filename(), "results.json");
  }
}

TEST_F(CheckpointReaders, MoreImagesThanMemoryIsSaidBeforeTheRun) {
  const Outcome outcome = run_binary("sample", {"--checkpoint", path("c"), "--n", "1000000000000", "--out", path("s")});
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("too little memory"));
  EXPECT_FALSE(fs::exists(path("s")));
}

}  // namespace
}  // namespace tweedie::experiments
