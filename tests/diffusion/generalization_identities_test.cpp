#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numbers>

#include "diffusion/linear_covariance.h"
#include "diffusion/linear_ensemble.h"
#include "diffusion/naive_sampler.h"
#include "diffusion/statistics.h"
#include "diffusion/tangent_kernel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

PointSet plane_set() {
  return {{-1.0, 0.2, 0.4, -0.7, 0.9, 1.1, 0.0, 0.1}, 2};
}
const PointSet& line_set() {
  static const PointSet set({-1.0, 0.0, 1.0}, 1);
  return set;
}

TEST(PointSet, ProxyCovarianceIsTheHessianOfTheLogDensity) {
  const PointSet set = plane_set();
  for (const double sigma : {0.3, 0.7, 2.0})
    for (const double x : {-0.8, 0.1, 1.3}) {
      const double alpha = 0.8, h = 1e-4;
      const std::vector<double> z = {x, 0.4 - x};
      const auto log_density = [&](double dx, double dy) {
        return set.posterior(std::vector{z[0] + dx, z[1] + dy}, alpha, sigma).log_density;
      };
      const auto posterior = set.posterior(z, alpha, sigma);
      const std::vector<double> C = proxy_covariance(posterior, alpha, sigma),
                                score = score_of(posterior, z, alpha, sigma);
      const double centre = log_density(0, 0), precision = 1.0 / (sigma * sigma);
      // Central differences: truncation h^2 times a fourth derivative (below 1000), rounding 1e-16/h^2 = 1e-8.
      EXPECT_NEAR(score[0], (log_density(h, 0) - log_density(-h, 0)) / (2 * h), 1e-6);
      EXPECT_NEAR(score[1], (log_density(0, h) - log_density(0, -h)) / (2 * h), 1e-6);
      EXPECT_NEAR(C[0], precision + (log_density(h, 0) - 2 * centre + log_density(-h, 0)) / (h * h), 3e-5);
      EXPECT_NEAR(C[3], precision + (log_density(0, h) - 2 * centre + log_density(0, -h)) / (h * h), 3e-5);
      const double mixed =
          (log_density(h, h) - log_density(h, -h) - log_density(-h, h) + log_density(-h, -h)) / (4 * h * h);
      EXPECT_NEAR(C[1], mixed, 3e-5);
      EXPECT_NEAR(C[1], C[2], 1e-15);
    }
}

TEST(PointSet, DenoisingLossIsTheExactLossPlusTheTraceOfC) {
  // Given z the generating point is x_i with weight w_i: the difference of the two losses is a finite sum, tr C for any
  // model score.
  const PointSet set = plane_set();
  const double alpha = 0.9, sigma = 0.6;
  for (const double x : {-1.0, 0.0, 0.7}) {
    const std::vector<double> z = {x, 0.3}, model = {0.37 - x, 2.0};
    const auto posterior = set.posterior(z, alpha, sigma);
    const std::vector<double> exact = score_of(posterior, z, alpha, sigma),
                              C = proxy_covariance(posterior, alpha, sigma);
    double denoising = 0.0, empirical = 0.0;
    for (std::size_t j = 0; j < 2; ++j) {
      empirical += std::pow(model[j] - exact[j], 2);
      for (std::int64_t i = 0; i < set.count(); ++i) {
        const double proxy = (alpha * set.point(i)[j] - z[j]) / (sigma * sigma);
        denoising += posterior.weights[static_cast<std::size_t>(i)] * std::pow(model[j] - proxy, 2);
      }
    }
    EXPECT_NEAR(denoising - empirical, C[0] + C[3], 1e-12);
  }
}

TEST(PointSet, StaysExactAtVeryLowNoise) {
  const double z = 0.5000001;  // between 0 and 1, where both are 250,000 standard deviations away
  double mean = 0.0;
  line_set().denoise({&z, 1}, 1.0, 2e-6, {&mean, 1});
  EXPECT_EQ(mean, 1.0);
  EXPECT_THROW(line_set().posterior({&z, 1}, 1.0, 0.0), Error);
  EXPECT_THROW(PointSet({1.0, NAN}, 1), Error);
}

/// 6 x 6 features and P draws at t >= 0.01.
struct LineModel {
  CrossedFeatures features{{FeatureAxis{.count = 6}}, FeatureAxis{.count = 6, .from = 0.01, .to = 1.0}};
  DrawPlan plan{.t_min = 0.01};
  Queries queries{{-0.6, 0.25, 1.0, 0.5}, {0.05, 0.1, 0.3, 0.6}};
  double mean(std::span<const double> weights, std::size_t query) const {
    double value = 0.0;
    linear_mean(features, weights, {&queries.z[query], 1}, queries.t[query], {&value, 1});
    return value;
  }
};

TEST(LinearModel, SolvesTheNormalEquationsInEitherForm) {
  LineModel model;
  for (const std::int64_t count : {20, 36, 37, 90}) {  // F = 36: as P, and as F equations
    model.plan.count = count;
    const LinearDraws draws = draw_training(line_set(), model.plan, 3);
    const std::vector<double> exact = exact_targets(line_set(), model.plan.process, draws);
    const auto fits =
        fit_linear(model.features, model.plan.process, draws, 0.1, std::vector<std::vector<double>>{exact});
    ASSERT_EQ(fits.size(), 2U);
    for (std::size_t fit = 0; fit < 2; ++fit) {
      const std::vector<double>& targets = fit == 0 ? draws.target : exact;
      std::vector<double> slope(36, 0.0), phi(36);
      double scale = 0.0;
      for (std::size_t f = 0; f < 36; ++f) slope[f] = 0.1 * fits[fit][f];
      for (std::size_t i = 0; i < draws.t.size(); ++i) {
        model.features.evaluate({&draws.z[i], 1}, draws.t[i], phi);
        const double l = std::pow(model.plan.process.alpha(draws.t[i]) / model.plan.process.sigma(draws.t[i]), 2);
        double residual = -targets[i];
        for (std::size_t f = 0; f < 36; ++f) residual += fits[fit][f] * phi[f];
        for (std::size_t f = 0; f < 36; ++f) {
          slope[f] += l * residual * phi[f] / static_cast<double>(count);
          scale = std::max(scale, l * phi[f] * phi[f] / static_cast<double>(count));
        }
      }
      for (const double value : slope) EXPECT_NEAR(value, 0.0, 1e-10 * scale) << count;  // rounding of the largest term
    }
  }
}

TEST(LinearModel, GradientDescentTendsToTheClosedForm) {
  LineModel model;
  model.features = CrossedFeatures({FeatureAxis{.count = 3, .width = 1.0}},
                                   FeatureAxis{.count = 2, .from = 0.01, .to = 1.0, .width = 1.0});
  model.plan.count = 50;
  const LinearDraws draws = draw_training(line_set(), model.plan, 0);
  const auto closed = fit_linear(model.features, model.plan.process, draws, 0.1)[0];
  const auto early = descend_linear(model.features, model.plan.process, draws, 0.1, 1);
  const auto late = descend_linear(model.features, model.plan.process, draws, 0.1, 20'000);
  double early_error = 0.0, late_error = 0.0;
  for (std::size_t f = 0; f < closed.size(); ++f) {
    early_error = std::max(early_error, std::abs(early[f] - closed[f]));
    late_error = std::max(late_error, std::abs(late[f] - closed[f]));
  }
  EXPECT_GT(early_error, 1e-3);
  EXPECT_LT(late_error, 1e-8);
  EXPECT_THROW(descend_linear(model.features, model.plan.process, draws, 0.1, 10, 2.5), Error);
}

TEST(LinearCovariance, OfRedrawnTargetsIsExact) {
  LineModel model;
  model.plan.count = 25;  // far from large
  const LinearDraws draws = draw_training(line_set(), model.plan, 1);
  const auto formula = redraw_covariance(model.features, line_set(), model.plan.process, draws, 0.1, model.queries);
  // The answer is linear in the targets: its derivative by target i is the model fitted to the i-th unit vector.
  std::vector<std::vector<double>> units;
  for (std::size_t i = 0; i < 25; ++i) {
    units.emplace_back(25, 0.0);
    units.back()[i] = 1.0;
  }
  const auto fits = fit_linear(model.features, model.plan.process, draws, 0.1, units);
  for (std::size_t a = 0; a < 4; ++a)
    for (std::size_t b = 0; b < 4; ++b) {
      double sum = 0.0;
      for (std::size_t i = 0; i < 25; ++i) {
        const double variance =
            line_set()
                .posterior({&draws.z[i], 1}, model.plan.process.alpha(draws.t[i]), model.plan.process.sigma(draws.t[i]))
                .covariance[0];
        sum += model.mean(fits[i + 1], a) * model.mean(fits[i + 1], b) * variance;
      }
      EXPECT_NEAR(formula[a * 4 + b], sum, 1e-9) << a << ", " << b;
    }
}

TEST(LinearCovariance, LargeSampleFormulaHoldsFrom64F) {
  LineModel model;
  model.plan.count = 64 * 36;
  constexpr std::int64_t models = 600;
  std::vector<std::vector<double>> answers(4);
  for (std::int64_t m = 0; m < models; ++m) {
    const auto weights =
        fit_linear(model.features, model.plan.process, draw_training(line_set(), model.plan, m), 0.1)[0];
    for (std::size_t q = 0; q < 4; ++q) answers[q].push_back(model.mean(weights, q));
  }
  DrawPlan population = model.plan;
  population.cell = 1;
  const auto formula = large_sample_covariance(model.features, line_set(), population, 0.1, model.queries, 40'000);
  for (std::size_t q = 0; q < 4; ++q) {
    // A variance of 600 values has a relative standard error of sqrt(2/600) = 0.058; the population's own is 0.02, and
    // the next order of the expansion about F/P = 0.016.
    EXPECT_NEAR(formula[q * 4 + q] / variance(answers[q]), 1.0, 4 * 0.058 + 0.03) << q;
  }
}

TEST(NaiveSampler, TendsToTheEffectiveSde) {
  NoisySamplerPlan plan{.steps = 600, .count = 6000};
  const std::vector<float> limit = effective_sde_samples(line_set(), plan);
  double distances[2];
  const std::int64_t steps[2] = {20, 600};
  for (std::size_t i = 0; i < 2; ++i) {
    plan.steps = steps[i];
    plan.first_stream = static_cast<std::uint32_t>(6000 * (i + 1));
    distances[i] = kolmogorov_smirnov(naive_samples(line_set(), plan), limit);
  }
  const double critical = kolmogorov_smirnov_critical(6000, 6000, 1e-3);
  EXPECT_GT(distances[0], critical);
  EXPECT_LT(distances[1], critical);
  // Without noise both are the probability-flow ODE, from the same starts.
  plan.kappa = 0.0;
  plan.count = 50;
  EXPECT_EQ(naive_samples(line_set(), plan), effective_sde_samples(line_set(), plan));
}

TEST(LinearFlow, FollowsTheDenoiserWithAndWithoutTheLookUp) {
  const auto features =
      std::make_shared<CrossedFeatures>(std::vector{FeatureAxis{}}, FeatureAxis{.from = 0.01, .to = 1.0});
  const DrawPlan plan{.t_min = 0.01, .count = 128};
  const auto weights = fit_linear(*features, plan.process, draw_training(line_set(), plan, 0), 0.1)[0];
  const std::vector<double> times = falling_times(1.0, 0.01, 30);
  const FlowGrid grid{.count = 200, .from = -1.5f, .spacing = static_cast<float>(3.0 / 199.0)};
  for (const bool look_up : {false, true}) {
    const LinearFlow flow(features, plan.process, times, look_up ? std::optional(grid) : std::nullopt);
    std::vector<float> state = flow_start(plan.process, 1.0, 33, 5, 0, 0);
    const std::vector<float> start = state;
    flow.run(weights, state);
    for (std::size_t i = 0; i < state.size(); ++i) {
      double z = start[i];
      for (std::size_t k = 0; k + 1 < times.size(); ++k) {
        const double t = times[k], h = times[k + 1] - t, sigma = plan.process.sigma(t);
        double place = z, mean = 0.0;
        if (look_up) place = -1.5 + 3.0 / 199.0 * std::clamp(std::ceil((z + 1.5) * 199.0 / 3.0), 0.0, 199.0);
        linear_mean(*features, weights, {&place, 1}, t, {&mean, 1});
        const double score = (plan.process.alpha(t) * mean - z) / (sigma * sigma);
        z += h * (plan.process.f(t) * z - 0.5 * plan.process.g2(t) * score);
      }
      EXPECT_NEAR(state[i], z, look_up ? 2e-2 : 2e-4)
          << i << " look-up " << look_up;  // a look-up may fall into another cell
    }
  }
}

TEST(TangentKernel, IsTheMeanOverWideNetworks) {
  const std::vector<double> u = {0.4, -1.0, 1.0}, v = {1.2, 0.3, 1.0};
  // One hidden layer by hand: (|u||v|/m)(kappa_1 + rho kappa_0).
  double uu = 0.0, vv = 0.0, uv = 0.0;
  for (std::size_t j = 0; j < 3; ++j) {
    uu += u[j] * u[j];
    vv += v[j] * v[j];
    uv += u[j] * v[j];
  }
  const double rho = uv / std::sqrt(uu * vv), angle = std::acos(rho), rest = std::numbers::pi - angle;
  const double expected = std::sqrt(uu * vv) / 3.0 * ((std::sin(angle) + rho * rest) + rho * rest) / std::numbers::pi;
  EXPECT_NEAR(tangent_kernel(u, v, 1), expected, 1e-14);
  EXPECT_NEAR(tangent_kernel(u, u, 3), uu / 3.0 * 4.0, 1e-12);  // L + 1 equal layers
  EXPECT_THROW(tangent_kernel(u, v, 0), Error);
}

TEST(KernelFlow, GoesFromNoFitToInterpolation) {
  std::vector<double> inputs, weights, targets;
  for (int i = 0; i < 12; ++i) {
    for (const double value : network_input(std::vector{std::sin(1.7 * i)}, 0.05 * i, 2.0)) inputs.push_back(value);
    weights.push_back(1.0 + i % 3);
    targets.push_back(std::cos(2.0 * i));
  }
  const KernelFlow flow(inputs, 3, weights, 2);
  for (const double tau : {0.0, 1e12}) {
    const std::vector<double> response = flow.response(tau);
    for (std::size_t p = 0; p < 12; ++p) {
      const std::vector<double> row = flow.kernel_row(std::span(inputs).subspan(3 * p, 3));
      double value = 0.0;
      for (std::size_t i = 0; i < 12; ++i)
        for (std::size_t k = 0; k < 12; ++k) value += row[i] * response[i * 12 + k] * targets[k];
      EXPECT_NEAR(value, tau == 0.0 ? 0.0 : targets[p], 1e-6) << tau;
    }
  }
}

/// Root mean square of network - kernel prediction over that of the prediction, at places between the inputs.
double deviation(std::int64_t width, std::uint64_t seed) {
  std::vector<double> inputs, weights(10, 1.0), residual;
  const WideNetwork start(width, 3, seed);
  WideNetwork network = start;
  std::vector<double> targets;
  for (int i = 0; i < 10; ++i) {
    const auto input = network_input(std::vector{-1.0 + 0.22 * i}, 0.1 * (i % 4), 2.0);
    inputs.insert(inputs.end(), input.begin(), input.end());
    targets.push_back(i % 3 - 1.0);
    residual.push_back(targets.back() - start.evaluate(input));
  }
  const KernelFlow flow(inputs, 3, weights);
  const double tau = 10.0 / flow.rates().back();
  network.train(inputs, targets, weights, tau, 500);
  const std::vector<double> response = flow.response(tau);
  double errors = 0.0, changes = 0.0;
  for (const double x : {-0.9, -0.3, 0.15, 0.7}) {
    const auto place = network_input(std::vector{x}, 0.15, 2.0);
    const std::vector<double> row = flow.kernel_row(place);
    double change = 0.0;
    for (std::size_t i = 0; i < 10; ++i)
      for (std::size_t k = 0; k < 10; ++k) change += row[i] * response[i * 10 + k] * residual[k];
    errors += std::pow(network.evaluate(place) - start.evaluate(place) - change, 2);
    changes += change * change;
  }
  return std::sqrt(errors / changes);
}

/// Least-squares slope of log deviation against log width over three seeds.
Line slope_over(std::initializer_list<std::int64_t> widths) {
  std::vector<double> x, y;
  for (const std::int64_t width : widths)
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      x.push_back(std::log(static_cast<double>(width)));
      y.push_back(std::log(deviation(width, seed)));
    }
  return fit_line(x, y);
}

TEST(KernelFlow, WiderNetworksComeCloser) {
  const Line line = slope_over({32, 128, 512});
  EXPECT_LT(line.slope_high, 0.0);
  EXPECT_NEAR(line.slope, -0.5, 2.5 * line.slope_error + 0.1);
}

class WideNetworks : public testing::TestWithParam<int> {};
TEST_P(WideNetworks, DeviateLikeTheInverseRootOfTheirWidth) {
  const Line line = slope_over({256, 1024, 4096});
  EXPECT_LE(line.slope_low, -0.5);
  EXPECT_GE(line.slope_high, -0.5);
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WideNetworks);
INSTANTIATE_TEST_SUITE_P(Exhaustive, WideNetworks,
                         testing::ValuesIn(std::getenv("TWEEDIE_EXHAUSTIVE") != nullptr ? std::vector<int>{0}
                                                                                        : std::vector<int>{}));

TEST(GapMeasures, OfKnownSamples) {
  const std::vector<float> samples = {-1.05f, -0.6f, -0.25f, 0.0f, 0.3f, 0.74f, 0.8f, 1.6f};
  const GapMasses masses = gap_masses(samples, line_set(), {});
  EXPECT_DOUBLE_EQ(masses.gap, 4.0 / 8.0);  // -0.6, -0.25, 0.3, 0.74
  EXPECT_DOUBLE_EQ(masses.near, 2.0 / 8.0);
  EXPECT_DOUBLE_EQ(masses.outside, 1.0 / 8.0);
  const std::vector<float> a = {1, 2, 3, 4}, b = {3.5f, 4.5f, 5.5f, 6.5f};
  EXPECT_DOUBLE_EQ(kolmogorov_smirnov(a, b), 0.75);
  EXPECT_NEAR(kolmogorov_smirnov_critical(20000, 20000, 0.01), 0.01628, 1e-5);
  const std::vector<double> p = {0.5, 0.5, 0.0}, q = {0.0, 0.5, 0.5};
  EXPECT_DOUBLE_EQ(total_variation(p, q), 0.5);
  EXPECT_DOUBLE_EQ(wasserstein(p, q, 0.1), 0.1);
  EXPECT_DOUBLE_EQ(kullback_leibler(p, q, 0.25), 0.5 * std::log(2.0));
  const PlaneMasses plane = plane_masses(std::vector<float>{0.0f, 1.0f, 0.5f, 2.0f, 0.0f, 0.0f, 0.6f, 0.0f},
                                         PointSet({1, 0, 0, 1, -1, 0, 0, -1}, 2));
  EXPECT_DOUBLE_EQ(plane.centre, 0.25);
  EXPECT_DOUBLE_EQ(plane.near, 0.25);
  EXPECT_DOUBLE_EQ(plane.edge, 0.25);
  EXPECT_DOUBLE_EQ(plane.outside, 0.25);
}

// Trained for long it passes through its targets; at time 0 it answers f_0 = 0; every view is of one denoiser.
TEST(KernelScore, IsKernelRegressionAtItsTrainingTime) {
  const Process process = Process::vp();
  const std::vector<double> places = {-0.8, 0.1, 0.9}, targets = {-1.0, 0.0, 1.0};
  constexpr double t = 0.2, scale = 2.0;
  std::vector<double> inputs;
  for (const double place : places)
    for (const double value : network_input({&place, 1}, t, scale)) inputs.push_back(value);
  const auto flow = std::make_shared<KernelFlow>(inputs, 3, std::vector(3, 1.0), 2);
  const Tensor z = Tensor::from_host(std::span<const float>(std::vector{-0.8f, 0.1f, 0.9f}), {3, 1}, Device{});
  const std::vector<double> times(3, t);
  KernelScore trained(flow, targets, 1e4 / flow->rates().front(), scale, process),
      untrained(flow, targets, 0.0, scale, process);
  const std::vector<float> clean = trained.predict(z, times, View::x0).to_host(),
                           score = trained.predict(z, times, View::score).to_host();
  const double alpha = process.alpha(t), sigma = process.sigma(t);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(clean[i], targets[i], 1e-5);
    EXPECT_NEAR(score[i], (alpha * targets[i] - places[i]) / (sigma * sigma), 1e-3);
    EXPECT_NEAR(untrained.predict(z, times, View::x0).to_host()[i], 0.0, 1e-12);
  }
  // Between: the modes' shares, by hand from the response matrix.
  const double tau = 1.0 / flow->rates().back();
  KernelScore halfway(flow, targets, tau, scale, process);
  const double x = 0.4;
  const std::vector<double> row = flow->kernel_row(network_input({&x, 1}, t, scale)), response = flow->response(tau);
  double expected = 0.0;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t k = 0; k < 3; ++k) expected += row[i] * response[i * 3 + k] * targets[k];
  const Tensor one = Tensor::from_host(std::span<const float>(std::vector{0.4f}), {1, 1}, Device{});
  EXPECT_NEAR(halfway.predict(one, std::vector{t}, View::x0).to_host()[0], expected, 1e-6);
}

TEST(LinearScore, AnswersEveryView) {
  const auto features = std::make_shared<RandomFeatures>(2, 40, 0.7, 0.5, 3);
  const PointSet set = plane_set();
  const DrawPlan plan{.t_min = 0.05, .count = 100};
  const auto weights = fit_linear(*features, plan.process, draw_training(set, plan, 0), 0.1)[0];
  LinearScore score(features, weights, plan.process);
  const std::vector<float> z = {0.3f, -0.4f};
  const std::vector<double> t = {0.2};
  const Tensor state = Tensor::from_host(std::span<const float>(z), {1, 2}, Device{});
  double mean[2];
  linear_mean(*features, weights, std::vector<double>{z[0], z[1]}, 0.2, mean);
  const double alpha = plan.process.alpha(0.2), sigma = plan.process.sigma(0.2);
  EXPECT_NEAR(score.predict(state, t, View::x0).to_host()[1], mean[1], 1e-6);
  EXPECT_NEAR(score.predict(state, t, View::score).to_host()[0], (alpha * mean[0] - z[0]) / (sigma * sigma), 1e-4);
  EXPECT_THROW(LinearScore(features, {1.0}, plan.process), Error);
}

}  // namespace
}  // namespace tweedie
