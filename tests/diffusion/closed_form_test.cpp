#include "diffusion/closed_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/data/load.h"
#include "diffusion/empirical_score_model.h"
#include "diffusion/gaussian_score.h"
#include "diffusion/patch_score.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t side = 4, d = side * side;

/// Two classes of 20 images each, about two different means.
data::ImageSet images() {
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
  for (std::uint32_t i = 0; i < 40; ++i) {
    labels.push_back(i % 2);
    for (std::uint32_t k = 0; k < d; ++k)
      pixels.push_back((i % 2 == 0 ? 0.5F : -0.5F) + 0.3F * normal({.seed = 8}, i, k));
  }
  return data::make_image_set("test", data::Split::train, {40, side, side, 1}, pixels, labels, 2);
}

/// The first images, noised to t.
Tensor states(const Process& process, double t, std::int64_t n) {
  const std::vector<float> pixels = images().to_float();
  std::vector<float> z;
  for (std::uint32_t i = 0; i < n; ++i)
    for (std::uint32_t k = 0; k < d; ++k)
      z.push_back(static_cast<float>(process.alpha(t)) * pixels[i * d + k] +
                  static_cast<float>(process.sigma(t)) * normal({.seed = 9}, i, k));
  return Tensor::from_host(std::span<const float>(z), {n, side, side, 1}, {});
}

/// The mean squared error of a model's clean image at noised images.
double error(ScoreModel& model, double t) {
  const std::vector<float> pixels = images().to_float();
  const std::vector<float> answer =
      model.predict(states(model.process(), t, 40), std::vector<double>(40, t), View::x0).to_host();
  double sum = 0.0;
  for (std::size_t i = 0; i < answer.size(); ++i) sum += std::pow(double{answer[i]} - double{pixels[i]}, 2);
  return sum / static_cast<double>(answer.size());
}

/// Always `value` for the clean image.
class Constant final : public ScoreModel {
 public:
  Constant(double value, const Process& process) : value_(value), process_(process) {}
  Tensor predict(const Tensor& z, std::span<const double> /*t*/, View /*view*/, const Tensor& /*labels*/) override {
    return Tensor::full(z.shape(), value_, z.device());
  }
  const Process& process() const override { return process_; }
  Device device() const override { return {}; }

 private:
  double value_;
  Process process_;
};

TEST(ClosedForm, NamesAreTheModels) {
  for (const Process& process : {Process::linear(), Process::vp()}) {
    const ClosedFormGround ground{.images = images(), .process = process, .device = {}, .network = {}};
    const std::vector<double> t = {0.3, 0.3, 0.3};
    const Tensor z = states(process, 0.3, 3);
    const auto same = [&](const char* name, ScoreModel& expected, const Tensor& labels = {}) {
      EXPECT_EQ(parse_closed_form(name, ground)->predict(z, t, View::v, labels).to_host(),
                expected.predict(z, t, View::v, labels).to_host())
          << name;
    };
    EmpiricalScoreModel exact(EmpiricalScore(images()), process), mirrored(EmpiricalScore(images(), {}, true), process);
    same("empirical", exact);
    const std::int64_t classes[] = {0, 1, -1};
    same("empirical", exact, Tensor::from_host(std::span<const std::int64_t>(classes), {3}, {}));
    same("mirrored", mirrored);
    GaussianScore gaussian(images(), process);
    same("gaussian", gaussian);
    PatchScore three(images(), process, [](double) { return 3; }),
        growing(images(), process, PatchScore::growing(process, side));
    same("patch:3", three);
    same("patch", growing);
    EXPECT_NE(exact.predict(z, t, View::v).to_host(), mirrored.predict(z, t, View::v).to_host());
  }
}

TEST(ClosedForm, RegressionsDenoise) {
  const ClosedFormGround ground{.images = images(), .device = {}, .network = {}};
  // The mean of both classes, which knows nothing of the state.
  Constant mean(0.0, ground.process);
  // At low noise, where the loss has its weight.
  for (const char* name : {"features:256", "ntk:1e5,400"}) {
    const auto model = parse_closed_form(name, ground);
    for (const double t : {0.1, 0.2, 0.4}) EXPECT_LT(error(*model, t), 0.6 * error(mean, t)) << name << " " << t;
  }
  // Trained for next to no time, a network of no initial function still answers 0.
  EXPECT_NEAR(error(*parse_closed_form("ntk:1e-9", ground), 0.4), error(mean, 0.4), 1e-6);
}

TEST(ClosedForm, TruthIsTheLawOfSyntheticData) {
  const data::ImageSet few = data::load_data({.name = "gaussian:3", .subset = 4});
  const ClosedFormGround ground{.images = few, .device = {}, .network = {}};
  const auto model = parse_closed_form("truth", ground);
  const double t = 0.4, variance = 0.6 * 0.6 + 0.4 * 0.4;  // of the linear path's states
  const std::vector<float> z = {0.3F, -1.2F, 2.0F};
  const std::vector<float> score =
      model->predict(Tensor::from_host(std::span<const float>(z), {1, 1, 1, 3}, {}), std::vector{t}, View::score)
          .to_host();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(score[i], -z[i] / variance, 1e-6);
  const data::ImageSet mixed = data::load_data({.name = "mixture:2,3", .subset = 4});
  EXPECT_NO_THROW(parse_closed_form("truth", {.images = mixed, .device = {}, .network = {}}));
}

TEST(ClosedForm, HybridsChangeOverWhereTheySay) {
  const Process process = Process::linear();
  const auto constant = std::make_shared<Constant>(0.25, process);
  const ClosedFormGround ground{.images = images(), .process = process, .device = {}, .network = constant};
  EmpiricalScoreModel exact(EmpiricalScore(images()), process);
  const auto hybrid = parse_closed_form("hybrid-time:0.5", ground);
  for (const double t : {0.4, 0.6}) {
    const Tensor z = states(process, t, 2);
    const std::vector<double> levels = {t, t};
    ScoreModel& asked = t < 0.5 ? static_cast<ScoreModel&>(*constant) : exact;
    EXPECT_EQ(hybrid->predict(z, levels, View::x0).to_host(), asked.predict(z, levels, View::x0).to_host()) << t;
  }
  // Far outside every shell the exact score answers, on a shell the network.
  const auto shells = parse_closed_form("hybrid-shells:1.5", ground);
  const Tensor on = states(process, 0.3, 1), far = Tensor::full({1, side, side, 1}, 9.0, {});
  const std::vector<double> level = {0.3};
  EXPECT_EQ(shells->predict(on, level, View::x0).to_host(), constant->predict(on, level, View::x0, {}).to_host());
  EXPECT_EQ(shells->predict(far, level, View::x0).to_host(), exact.predict(far, level, View::x0).to_host());
}

TEST(ClosedForm, OtherNamesAreRefusedWithThoseThatThereAre) {
  const ClosedFormGround ground{.images = images(), .device = {}, .network = {}};
  for (const char* name : {"", "wiener", "empirical:2", "patch:4", "patch:3,3", "patch:x", "features:0", "features:1.5",
                           "ntk:1,2,3", "hybrid-time", "truth"})
    EXPECT_THROW(parse_closed_form(name, ground), UsageError) << name;
  try {
    parse_closed_form("wiener", ground);
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("gaussian (Wiener's denoiser)"));
  }
}

}  // namespace
}  // namespace tweedie
