#include "diffusion/gaussian_mixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

namespace tweedie {
namespace {

/// A random symmetric positive-definite matrix.
std::vector<double> random_covariance(std::size_t d, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> root(d * d), covariance(d * d, 0.0);
  for (double& value : root) value = 0.6 * normal(generator);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t k = 0; k < d; ++k) covariance[i * d + j] += root[i * d + k] * root[j * d + k];
  return covariance;
}

GaussianMixtureScore mixture(const Process& process, Device device = {}) {
  std::vector<GaussianComponent> components;
  components.push_back({1.0, {1.0, -0.5, 0.3}, random_covariance(3, 1)});
  components.push_back({2.5, {-1.0, 0.2, 0.8}, {0.3}});
  components.push_back({0.5, {0.1, 1.2, -0.7}, random_covariance(3, 2)});
  return {components, process, device};
}

TEST(GaussianMixture, OneGaussianIsTheTextbookFormula) {
  // p = N(0, I): the score is -z/(alpha^2 + sigma^2).
  const GaussianMixtureScore model({{1.0, {0.0, 0.0}, {1.0}}}, Process::linear());
  for (double t : {0.0, 0.3, 1.0}) {
    const double variance = (1 - t) * (1 - t) + t * t;
    const std::vector<double> z = {0.7, -1.1};
    const auto answer = model.answer(z, t);
    EXPECT_NEAR(answer.score[0], -z[0] / variance, 1e-15);
    EXPECT_NEAR(answer.clean[1], (1 - t) * z[1] / variance, 1e-15);
    EXPECT_NEAR(answer.log_density, -(0.49 + 1.21) / (2 * variance) - std::log(2 * std::numbers::pi * variance), 1e-14);
    EXPECT_NEAR(answer.trace_posterior, 2 * t * t / variance, 1e-15);
  }
}

TEST(GaussianMixture, TheScoreIsTheGradientAndTheCovarianceItsHessian) {
  for (const Process& process : {Process::linear(), Process::edm(), Process::vp(), Process::cosine()}) {
    const GaussianMixtureScore model = mixture(process);
    for (double t : {0.15, 0.5, 0.8}) {
      const std::vector<double> z = {0.4, -0.3, 0.9};
      const auto answer = model.answer(z, t);
      const double a = process.alpha(t), s = process.sigma(t), h = 1e-4;
      double laplacian = 0.0;
      for (std::size_t i = 0; i < 3; ++i) {
        std::vector<double> up = z, down = z;
        up[i] += h;
        down[i] -= h;
        const auto plus = model.answer(up, t), minus = model.answer(down, t);
        // Second-order differences: h^2 times third derivatives, which sigma = 0.15 makes large.
        EXPECT_NEAR(answer.score[i], (plus.log_density - minus.log_density) / (2 * h), 1e-5) << process.name() << t;
        laplacian += (plus.score[i] - minus.score[i]) / (2 * h);
        // Tweedie: score = (alpha x^ - z)/sigma^2.
        EXPECT_NEAR(answer.score[i], (a * answer.clean[i] - z[i]) / (s * s), 1e-12) << process.name() << t;
      }
      // C = I/sigma^2 + Hessian log p.
      EXPECT_NEAR(answer.trace_proxy, 3.0 / (s * s) + laplacian, 1e-5 * (1.0 + answer.trace_proxy)) << process.name();
    }
  }
}

TEST(GaussianMixture, TheDensityIntegratesToOne) {
  const GaussianMixtureScore model({{1.0, {-1.0}, {0.04}}, {3.0, {0.5}, {0.2}}}, Process::linear());
  for (double t : {0.0, 0.4, 1.0}) {
    double total = 0.0;
    for (double z = -12.0; z < 12.0; z += 0.01) total += 0.01 * std::exp(model.answer(std::vector{z}, t).log_density);
    EXPECT_NEAR(total, 1.0, 1e-12) << t;
  }
}

TEST(GaussianMixture, AnswersInEveryViewAtEveryTime) {
  const Process linear = Process::linear();
  GaussianMixtureScore model = mixture(linear);
  const std::vector<double> points = {0.4, -0.3, 0.9, 1.0, 0.1, -2.0, 0.0, 0.5, 0.5};
  const std::vector<double> t = {0.0, 0.35, 1.0};
  const Tensor z = Tensor::from_host(std::span<const double>(points), {3, 3}, {});
  for (View view : {View::eps, View::x0, View::v, View::score}) {
    const std::vector<double> values = model.predict(z, t, view).to_host_double();
    for (std::size_t n = 0; n < 3; ++n) {
      const auto answer = model.answer(std::span(points).subspan(3 * n, 3), t[n]);
      for (std::size_t i = 0; i < 3; ++i) {
        const double noise = -t[n] * answer.score[i];
        const double expected = view == View::eps  ? noise
                                : view == View::x0 ? answer.clean[i]
                                : view == View::v  ? noise - answer.clean[i]
                                                   : answer.score[i];
        EXPECT_NEAR(values[3 * n + i], expected, 2e-7 * (1.0 + std::abs(expected)));  // float32 of z and of the result
      }
    }
  }
}

TEST(GaussianMixture, PointMassesAreTheEmpiricalScore) {
  const std::vector<std::vector<double>> points = {{-1.0, 0.0}, {-0.2, 0.3}, {1.0, 0.1}};
  std::vector<GaussianComponent> components;
  for (const auto& point : points) components.push_back({1.0, point, {0.0}});
  const GaussianMixtureScore model(components, Process::cosine());
  const std::vector<double> z = {0.2, 0.25};
  const double t = 0.3, a = Process::cosine().alpha(t), s = Process::cosine().sigma(t);
  double total = 0.0, mean = 0.0;
  for (const auto& point : points) {
    const double w = std::exp(-(std::pow(z[0] - a * point[0], 2) + std::pow(z[1] - a * point[1], 2)) / (2 * s * s));
    total += w;
    mean += w * point[0];
  }
  EXPECT_NEAR(model.answer(z, t).clean[0], mean / total, 1e-14);
  EXPECT_THROW(model.answer(z, 0.0), Error);
}

TEST(GaussianMixture, SingularCovariancesAreAllowed) {
  const GaussianMixtureScore line({{1.0, {0.0, 0.0}, {1.0, 1.0, 1.0, 1.0}}}, Process::edm());
  const auto answer = line.answer(std::vector{0.5, -0.5}, 0.1);
  EXPECT_NEAR(answer.clean[0], 0.0, 1e-13);  // off the line: back to it
  EXPECT_NEAR(answer.score[0], -50.0, 1e-10);
  EXPECT_THROW(line.answer(std::vector{0.5, 0.5}, 0.0), Error);
}

TEST(GaussianMixture, BadInput) {
  const Process linear = Process::linear();
  EXPECT_THROW(GaussianMixtureScore({}, linear), Error);
  EXPECT_THROW(GaussianMixtureScore({{0.0, {1.0}, {1.0}}}, linear), Error);
  EXPECT_THROW(GaussianMixtureScore({{1.0, {1.0}, {-1.0}}}, linear), Error);
  EXPECT_THROW(GaussianMixtureScore({{1.0, {1.0, 2.0}, {1.0, 0.0}}}, linear), Error);
  EXPECT_THROW(GaussianMixtureScore({{1.0, {1.0, 2.0}, {1.0, 0.5, 0.4, 1.0}}}, linear), Error);
  EXPECT_THROW(GaussianMixtureScore({{1.0, {1.0}, {1.0}}, {1.0, {1.0, 2.0}, {1.0}}}, linear), Error);
  GaussianMixtureScore model = mixture(linear);
  const std::vector<double> t = {0.5, 0.5};
  EXPECT_THROW(model.predict(Tensor::zeros({2, 4}, {}), t, View::v), Error);
  EXPECT_THROW(model.predict(Tensor::zeros({3, 3}, {}), t, View::v), Error);
  Tensor z = Tensor::zeros({2, 3}, {});
  EXPECT_THROW(model.predict(z, std::vector{0.5, 1.5}, View::v), Error);
  z.set_requires_grad(true);
  EXPECT_THROW(model.predict(z, t, View::v), Error);
  const NoGrad guard;
  EXPECT_NO_THROW(model.predict(z, t, View::v));
}

}  // namespace
}  // namespace tweedie
