#include "diffusion/empirical_score_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "diffusion/gaussian_mixture.h"
#include "diffusion/samplers.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

constexpr std::int64_t count = 24, side = 3;

data::ImageSet images() {
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(i % 2);
    for (std::int64_t k = 0; k < side * side; ++k)
      pixels.push_back(0.7F * normal({.seed = 3}, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(k)));
  }
  return data::make_image_set("test", data::Split::train, {count, side, side, 1}, pixels, labels, 2);
}

/// The same set as point masses of a mixture, in double.
GaussianMixtureScore mixture(const data::ImageSet& set, const Process& process) {
  std::vector<GaussianComponent> components;
  for (std::int64_t i = 0; i < set.count; ++i) {
    std::vector<float> image(static_cast<std::size_t>(set.dimension()));
    set.copy_float(i, image);
    components.push_back({1.0, {image.begin(), image.end()}, {0.0}});
  }
  return {components, process};
}

Tensor noised(const Process& process, const std::vector<double>& t) {
  std::vector<double> points;
  const std::vector<float> pixels = images().to_float();
  for (std::size_t n = 0; n < t.size(); ++n)
    for (std::size_t k = 0; k < 9; ++k)
      points.push_back(process.alpha(t[n]) * pixels[9 * n + k] +
                       process.sigma(t[n]) *
                           normal({.seed = 4}, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(k)));
  return Tensor::from_host(std::span<const double>(points), {static_cast<std::int64_t>(t.size()), side, side, 1}, {});
}

TEST(EmpiricalScoreModel, EqualsTheMixtureOfPointMasses) {
  for (const Process& process : {Process::linear(), Process::vp(), Process::cosine()}) {
    EmpiricalScoreModel model(EmpiricalScore(images()), process);
    GaussianMixtureScore truth = mixture(images(), process);
    const std::vector<double> t = {0.002, 0.05, 0.3, 0.6, 0.8, 0.97, 1.0};
    const Tensor z = noised(process, t);
    for (View view : {View::eps, View::x0, View::v, View::score}) {
      const std::vector<float> found = model.predict(z, t, view).to_host();
      const std::vector<float> expected = truth.predict(z, t, view).to_host();
      for (std::size_t n = 0; n < t.size(); ++n) {
        double difference = 0.0, norm = 0.0;
        for (std::size_t i = 9 * n; i < 9 * (n + 1); ++i) {
          difference += std::pow(double{found[i]} - double{expected[i]}, 2);
          norm += std::pow(double{expected[i]}, 2);
        }
        // alpha and sigma enter as float32, which the score feels as 6e-8 |z|/sigma.
        const double tolerance = 2e-5 + (view == View::x0 ? 0.0 : 3e-7 / process.sigma(t[n]));
        EXPECT_LT(std::sqrt(difference / norm), tolerance) << process.name() << " " << t[n] << " " << name_of(view);
      }
    }
  }
}

TEST(EmpiricalScoreModel, IsTheIdentityWithoutNoise) {
  EmpiricalScoreModel model(EmpiricalScore(images()), Process::linear());
  const std::vector<double> t = {0.0, 0.5};
  const Tensor z = noised(Process::linear(), {0.3, 0.5});
  const std::vector<float> points = z.to_host(), answer = model.predict(z, t, View::x0).to_host();
  EXPECT_TRUE(std::equal(points.begin(), points.begin() + 9, answer.begin()));
  EXPECT_NE(points[10], answer[10]);
  EXPECT_THROW(model.predict(z, t, View::score), Error);
  EXPECT_THROW(model.predict(z, t, View::v), Error);
}

TEST(EmpiricalScoreModel, ClassesSeeTheirOwnImages) {
  const Process process = Process::linear();
  EmpiricalScoreModel model(EmpiricalScore(images()), process);
  const std::vector<std::int64_t> of_class_one = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23};
  GaussianMixtureScore truth = mixture(images().selected(of_class_one), process);
  const std::vector<double> t = {0.6, 0.7};
  const Tensor z = noised(process, t);
  const std::vector<std::int64_t> labels = {1, -1};
  const std::vector<float> found =
      model.predict(z, t, View::v, Tensor::from_host(std::span<const std::int64_t>(labels), {2}, {})).to_host();
  const std::vector<float> one = truth.predict(z, t, View::v).to_host(), all = model.predict(z, t, View::v).to_host();
  for (std::size_t i = 0; i < 9; ++i) {
    EXPECT_NEAR(found[i], one[i], 2e-5);
    EXPECT_NEAR(found[9 + i], all[9 + i], 2e-5);
  }
}

TEST(EmpiricalScoreModel, SamplesAreTheImages) {
  // The exact score memorises: every sampler ends on an image of the set.
  const Process process = Process::linear();
  EmpiricalScoreModel model(EmpiricalScore(images()), process);
  std::vector<std::int64_t> streams = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (std::string_view name : {"heun", "dpm++2m", "dopri5", "ancestral"}) {
    const SamplerState start = start_from_noise(process, {side, side, 1}, streams, 2, {});
    const std::vector<float> samples = sampler_named(name)(model, start, {.steps = 60, .batch = 10}).to_host();
    const EmpiricalResult nearest =
        model.score().evaluate(samples, std::vector<float>(10, 1.0F), std::vector<float>(10, 1.0F));
    for (double distance : nearest.nearest_distance) EXPECT_LT(distance, 1e-3) << name;
  }
  // And a restart from a little noise returns to the image that it came from.
  const Tensor clean = Tensor::from_host(std::span<const float>(images().to_float()), {count, side, side, 1}, {});
  std::vector<std::int64_t> sources(count);
  for (std::int64_t i = 0; i < count; ++i) sources[static_cast<std::size_t>(i)] = i;
  const SamplerState restart = start_from_data(process, clean, 0.15, sources, 2);
  const std::vector<float> back = heun(model, restart, {.steps = 20, .batch = count}).to_host();
  const std::vector<float> ones(count, 1.0F);
  EXPECT_EQ(model.score().evaluate(back, ones, ones).nearest, sources);
}

TEST(EmpiricalScoreModel, BadInput) {
  EmpiricalScoreModel model(EmpiricalScore(images()), Process::linear());
  const std::vector<double> t = {0.5};
  EXPECT_THROW(model.predict(Tensor::zeros({1, 2, 3, 1}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict(Tensor::zeros({2, 3, 3, 1}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict(Tensor::zeros({1, 3, 3, 1}, {}), std::vector{1.5}, View::v), Error);
  Tensor z = Tensor::zeros({1, 3, 3, 1}, {});
  z.set_requires_grad(true);
  EXPECT_THROW(model.predict(z, t, View::v), Error);
}

}  // namespace
}  // namespace tweedie
