#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "diffusion/checkpoint.h"
#include "nn/io/npz.h"
#include "nn/io/safetensors.h"
#include "nn/mlp.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// |a - b| / |b|.
double relative_distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(double{a[i]} - double{b[i]}, 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

void write_as_npy(const io::SafetensorsFile& file, const std::string& tensor, const fs::path& path) {
  io::HostArray array = file.read(tensor);
  io::write_npy(path, io::view_of(array));
}

class DiffusersCheckpoint : public testing::TestWithParam<std::string> {};

TEST_P(DiffusersCheckpoint, OutputsLossAndGradientsAreItsOwn) {
  const fs::path folder = fs::path(TWEEDIE_SOURCE_DIR) / "tests/golden" / GetParam();
  const io::SafetensorsFile known(folder / "io.safetensors");
  const TemporaryFolder temporary;
  const fs::path& here = temporary.path();
  write_as_npy(known, "sample", here / "z.npy");
  write_as_npy(known, "timesteps", here / "ts.npy");
  write_as_npy(known, "target", here / "y.npy");
  std::vector<std::string> arguments = {"--checkpoint", folder,
                                        "--points",     here / "z.npy",
                                        "--timesteps",  here / "ts.npy",
                                        "--target",     here / "y.npy",
                                        "--grads",      here / "g.safetensors",
                                        "--out",        here / "o.npz",
                                        "--threads",    "1",
                                        "--batch",      "1"};
  if (known.contains("class_labels")) {
    write_as_npy(known, "class_labels", here / "l.npy");
    arguments.insert(arguments.end(), {"--labels", here / "l.npy"});
  }
  const Outcome outcome = run_binary("evaluate_score", arguments);
  ASSERT_EQ(outcome.status, 0) << outcome.output;

  const auto written = io::read_npz(here / "o.npz");
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written.at("model_output").shape, known.at("output").shape);
  EXPECT_LT(relative_distance(written.at("model_output").as<float>(), known.read_float32("output")), 2e-4);
  EXPECT_EQ(written.at("loss").shape, known.at("loss").shape);
  EXPECT_LT(relative_distance(written.at("loss").as<float>(), known.read_float32("loss")), 2e-4);

  const io::SafetensorsFile gradients(here / "g.safetensors");
  const io::SafetensorsFile weights(folder / "diffusion_pytorch_model.safetensors");
  double total = 0.0;
  for (const auto& [name, entry] : known.tensors())
    if (name.starts_with("gradient.") && name != "gradient.sample")
      for (float value : known.read_float32(name)) total += double{value} * double{value};
  std::size_t checked = 0;
  for (const auto& [name, entry] : gradients.tensors()) {
    ASSERT_TRUE(weights.contains(name)) << name;
    EXPECT_EQ(entry.shape, weights.at(name).shape) << name;
    std::string today = name;  // the golden gradients have the present-day names
    for (const auto& [former, present] : {std::pair(".query.", ".to_q."), std::pair(".key.", ".to_k."),
                                          std::pair(".value.", ".to_v."), std::pair(".proj_attn.", ".to_out.0.")})
      if (const auto at = today.find(former); at != std::string::npos)
        today.replace(at, std::string(former).size(), present);
    const std::vector<float> expected = known.read_float32("gradient." + today), found = gradients.read_float32(name);
    double difference = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(double{found[i]} - double{expected[i]}, 2);
      norm += std::pow(double{expected[i]}, 2);
    }
    EXPECT_LT(std::sqrt(difference), 2e-4 * std::sqrt(norm) + 1e-6 * std::sqrt(total)) << name;
    ++checked;
  }
  std::size_t expected_count = 0;
  for (const auto& [name, entry] : known.tensors()) expected_count += name.starts_with("gradient.") ? 1 : 0;
  EXPECT_EQ(checked, expected_count - 1);  // all but that of the sample
}

INSTANTIATE_TEST_SUITE_P(Golden, DiffusersCheckpoint,
                         testing::Values("unet_default", "unet_ddpm", "unet_fourier", "unet_classes",
                                         "unet_class_times", "unet_identity", "unet_plain"),
                         [](const auto& info) { return info.param; });

/// A checkpoint of our own: a small network on 2 x 3 pictures, averaged weights apart from the raw ones.
class OwnCheckpoint : public testing::Test {
 protected:
  OwnCheckpoint() { save(Parameterisation::plain(View::v), 0); }

  void save(const Parameterisation& parameterisation, std::int64_t classes) {
    fs::create_directories(folder());
    MlpConfig config;
    config.height = 2;
    config.width = 3;
    config.channels = 2;
    config.hidden_width = 16;
    config.hidden_layers = 1;
    config.num_class_embeds = classes;
    NetworkScore model(std::make_shared<Mlp>(config, Device{}, 1), Process::linear(), parameterisation);
    const Mlp other(config, Device{}, 2);
    CheckpointInfo info;
    info.height = 2;
    info.width = 3;
    info.channels = 2;
    save_checkpoint(folder(), model, other.parameters(), info);
    std::vector<float> points(3 * 12);
    for (std::size_t i = 0; i < points.size(); ++i) points[i] = std::sin(static_cast<float>(i));
    io::write_npy(path("z.npy"), points, {3, 2, 2, 3});
    io::write_npy(path("t.npy"), std::vector<float>{0.25F, 0.5F, 0.75F}, {3});
    io::write_npy(path("y.npy"), std::vector<float>(36, 0.5F), {3, 2, 2, 3});
  }
  fs::path folder() const { return temporary_.path() / "checkpoint"; }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  /// Runs with the usual arguments, of which `others` replace or extend.
  Outcome run(std::vector<std::string> others = {}, bool with_t = true) const {
    std::vector<std::string> arguments = {"--checkpoint", folder(), "--threads", "1"};
    const auto usual = [&](const std::string& flag, const std::string& value) {
      if (std::find(others.begin(), others.end(), flag) == others.end())
        arguments.insert(arguments.end(), {flag, value});
    };
    usual("--out", path("o.npz"));
    usual("--points", path("z.npy"));
    if (with_t) usual("--t", path("t.npy"));
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("evaluate_score", arguments);
  }
  void expect_refusal(const Outcome& outcome, int status, const std::string& message) const {
    EXPECT_EQ(outcome.status, status) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(message));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    EXPECT_FALSE(fs::exists(path("o.npz")));
  }

  TemporaryFolder temporary_;
};

TEST_F(OwnCheckpoint, ViewsAreThoseOfTheModel) {
  for (const std::string weights : {"raw", "ema", ""}) {
    const Outcome outcome =
        run(weights.empty() ? std::vector<std::string>{} : std::vector<std::string>{"--weights", weights});
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    const auto written = io::read_npz(path("o.npz"));
    ASSERT_EQ(written.size(), 5U);
    const auto model = load_checkpoint(folder(), weights == "raw" ? WeightKind::raw : WeightKind::average);
    // Channels last, as the model takes them.
    const io::HostArray file = io::read_npy(path("z.npy"));
    std::vector<float> points(36);
    const auto swapped = [](std::size_t i) {  // of (n, h, w, c) in (n, c, h, w)
      const std::size_t n = i / 12, pixel = i % 12 / 2, c = i % 2;
      return n * 12 + c * 6 + pixel;
    };
    for (std::size_t i = 0; i < 36; ++i) points[i] = file.as<float>()[swapped(i)];
    const Tensor z = Tensor::from_host(std::span<const float>(points), {3, 2, 3, 2}, {});
    for (View view : {View::eps, View::x0, View::v, View::score}) {
      const std::vector<float> expected = model->predict(z, std::vector{0.25, 0.5, 0.75}, view).to_host();
      const io::HostArray& found = written.at(std::string(name_of(view)));
      EXPECT_EQ(found.shape, (Shape{3, 2, 2, 3}));
      for (std::size_t i = 0; i < 36; ++i)
        EXPECT_NEAR(found.as<float>()[swapped(i)], expected[i], 1e-5) << name_of(view) << " " << weights;
    }
  }
}

TEST_F(OwnCheckpoint, LossAndGradientsAreThoseOfTheRawOutput) {
  save(Parameterisation::edm(0.5), 0);
  ASSERT_EQ(run({"--weights", "raw", "--target", path("y.npy"), "--grads", path("g.safetensors")}).status, 0);
  const auto written = io::read_npz(path("o.npz"));
  const std::span<const float> output = written.at("model_output").as<float>();
  double mean_loss = 0.0;
  for (std::size_t n = 0; n < 3; ++n) {
    double loss = 0.0;
    for (std::size_t i = 12 * n; i < 12 * (n + 1); ++i) loss += std::pow(output[i] - 0.5, 2) / 12;
    EXPECT_NEAR(written.at("loss").as<float>()[n], loss, 1e-6 * loss);
    mean_loss += loss / 3;
  }
  // One number of the last bias: the derivative is that of the mean loss.
  const io::SafetensorsFile gradients(path("g.safetensors"));
  const std::vector<float> bias = gradients.read_float32("output.bias");
  double expected = 0.0;
  for (std::size_t n = 0; n < 3; ++n) expected += 2.0 * (output[12 * n] - 0.5) / 12 / 3;
  EXPECT_NEAR(bias[0], expected, 1e-6);
  EXPECT_GT(mean_loss, 0.0);
}

TEST_F(OwnCheckpoint, ChosenViewsAnswerWhereOthersCannot) {
  io::write_npy(path("t.npy"), std::vector<float>{0.0F, 0.5F, 1.0F}, {3});
  expect_refusal(run(), 1, "the score of process linear is infinite at t = 0");
  EXPECT_EQ(run({"--views", "x0,v"}).status, 0);
  EXPECT_EQ(io::read_npz(path("o.npz")).count("score"), 0U);
}

TEST_F(OwnCheckpoint, ConditionalNetworksNeedLabels) {
  save(Parameterisation::plain(View::eps), 4);
  expect_refusal(run(), 2, "--labels: needed by this network of 4 classes");
  io::write_npy(path("l.npy"), std::vector<std::int64_t>{0, 3, 4}, {3});
  expect_refusal(run({"--labels", path("l.npy")}), 1, "label 4 is outside [0, 4)");
  io::write_npy(path("l.npy"), std::vector<float>{0, 1, 2}, {3});
  expect_refusal(run({"--labels", path("l.npy")}), 1, "expected int64");
  io::write_npy(path("l.npy"), std::vector<std::int64_t>{0, 3, 1}, {3});
  EXPECT_EQ(run({"--labels", path("l.npy")}).status, 0);
}

TEST_F(OwnCheckpoint, BadInputIsRefusedInOneLine) {
  io::write_npy(path("bad.npy"), std::vector<double>(36, 0.5), {3, 2, 2, 3});
  expect_refusal(run({"--points", path("bad.npy")}), 1, "expected float32 of shape (N, 2, H, W)");
  io::write_npy(path("bad.npy"), std::vector<float>(36, 0.5F), {3, 2, 3, 2});
  expect_refusal(run({"--points", path("bad.npy")}), 1, "the input has shape (3, 3, 2, 2)");
  expect_refusal(run({"--target", path("bad.npy")}), 1, "expected that of the points");
  io::write_npy(path("bad.npy"), std::vector<float>(36, std::nanf("")), {3, 2, 2, 3});
  expect_refusal(run({"--points", path("bad.npy")}), 1, "not finite");
  io::write_npy(path("bad.npy"), std::vector<float>{0.5F, 0.5F}, {2});
  expect_refusal(run({"--t", path("bad.npy")}), 1, "of shape (3)");
  io::write_npy(path("bad.npy"), std::vector<float>{0.5F, 0.5F, 1.5F}, {3});
  expect_refusal(run({"--t", path("bad.npy")}), 1, "t = 1.5 is outside [0, 1]");
  io::write_npy(path("bad.npy"), std::vector<std::uint8_t>{0, 1, 1}, {3});
  expect_refusal(run({"--t", path("bad.npy")}), 1, "expected float32");
  expect_refusal(run({"--points", path("none.npy")}), 1, "none.npy");
  expect_refusal(run({"--labels", path("t.npy")}), 1, "labels");
  expect_refusal(run({}, false), 2, "one of --t, --timesteps and --likelihood");
  expect_refusal(run({"--timesteps", path("t.npy")}), 2, "--t");
  expect_refusal(run({"--grads", path("g.safetensors")}), 2, "--target");
  expect_refusal(run({"--process", "edm"}), 2, "tweedie.json says this already");
  expect_refusal(run({"--views", "epsilon"}), 2, "view: unknown name");
  expect_refusal(run({"--weights", "best"}), 2, "--weights");
  expect_refusal(run({"--out", path("no/such/o.npz")}), 1, "no/such");
  expect_refusal(run({"--target", path("y.npy"), "--grads", path("no/such/g.safetensors")}), 1, "no/such");
  fs::remove(folder() / "diffusion_pytorch_model.ema.safetensors");
  expect_refusal(run({"--weights", "ema"}), 1, "diffusion_pytorch_model.ema.safetensors");
  fs::remove(folder() / "tweedie.json");
  expect_refusal(run(), 2, "give --process and --view");
  EXPECT_EQ(run({"--process", "linear", "--view", "v"}).status, 0);
}

TEST(EvaluateClosedForm, HasItsViewsAndLikelihood) {
  const TemporaryFolder temporary;
  const fs::path& here = temporary.path();
  // Points of N(0, I) in three dimensions, under the law itself.
  const std::vector<float> points = {0.5F, -1.0F, 0.2F, 1.5F, 0.3F, -0.4F};
  const std::vector<double> levels = {0.2, 0.7};
  io::write_npy(here / "z.npy", points, {2, 3, 1, 1});
  io::write_npy(here / "t.npy", levels, {2});
  const auto run = [&](const std::vector<std::string>& others) {
    std::vector<std::string> arguments = {"--points", here / "z.npy", "--out", here / "o.npz", "--threads", "1"};
    arguments.insert(arguments.end(), others.begin(), others.end());
    return run_binary("evaluate_score", arguments);
  };
  const std::vector<std::string> truth = {"--model", "truth", "--data", "gaussian:3"};
  const auto with = [&](std::vector<std::string> others) {
    others.insert(others.begin(), truth.begin(), truth.end());
    return others;
  };
  const Outcome views = run(with({"--t", here / "t.npy", "--batch", "1"}));
  ASSERT_EQ(views.status, 0) << views.output;
  const io::HostArray score = io::read_npz(here / "o.npz").at("score");
  for (std::size_t n = 0; n < 2; ++n)
    for (std::size_t i = 0; i < 3; ++i) {
      const double t = levels[n], variance = (1.0 - t) * (1.0 - t) + t * t;
      EXPECT_NEAR(score.as<float>()[n * 3 + i], -points[n * 3 + i] / variance, 1e-5);
    }
  const Outcome likelihood = run(with({"--likelihood", "0", "--tolerance", "1e-6"}));
  ASSERT_EQ(likelihood.status, 0) << likelihood.output;
  const io::HostArray bits = io::read_npz(here / "o.npz").at("bits_per_dim");
  for (std::size_t n = 0; n < 2; ++n) {
    double nats = 0.0;
    for (std::size_t i = 0; i < 3; ++i)
      nats += 0.5 * std::pow(double{points[n * 3 + i]}, 2) + 0.5 * std::log(2.0 * std::numbers::pi);
    EXPECT_NEAR(bits.as<double>()[n], nats / 3.0 / std::log(2.0), 1e-3);
  }
  EXPECT_THAT(run(with({"--timesteps", here / "t.npy"})).output, HasSubstr("a closed form answers --t"));
  EXPECT_THAT(run({"--t", here / "t.npy"}).output, HasSubstr("one of --checkpoint and --model is needed"));
  EXPECT_THAT(run({"--model", "truth", "--data", "fashion-mnist", "--t", here / "t.npy"}).output,
              HasSubstr("the law of the data 'fashion-mnist' is not known"));
}

}  // namespace
}  // namespace tweedie::experiments
