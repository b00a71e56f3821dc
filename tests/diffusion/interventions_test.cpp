#include "diffusion/interventions.h"

#include <gtest/gtest.h>

#include "autograd/ops/loss.h"
#include "diffusion/duplicated_target.h"
#include "diffusion/network_score.h"
#include "diffusion/samplers.h"
#include "diffusion/trajectory_states.h"
#include "nn/mlp.h"
#include "tests/diffusion/intervention_support.h"

namespace tweedie {
namespace {

constexpr std::int64_t batch = 64;
const Parameterisation noise = Parameterisation::plain(View::eps);

struct Rows {
  std::vector<double> z, target;  // (n, 2)
  std::vector<double> t;
};

/// States and targets of many steps.
Rows rows_of(const Objective& objective, std::uint32_t steps, std::uint64_t seed = 5) {
  Rows rows;
  for (std::uint32_t step = 0; step < steps; ++step) {
    const Objective::Batch drawn = objective.batch(seed, step, 0, batch, noise);
    for (const float value : drawn.draw.z.to_host()) rows.z.push_back(value);
    for (const float value : drawn.target.to_host()) rows.target.push_back(value);
    rows.t.insert(rows.t.end(), drawn.draw.t_told.begin(), drawn.draw.t_told.end());
  }
  return rows;
}

/// What the noise is expected to be at the states, in closed form.
std::vector<double> exact_noise(const data::ImageSet& set, const Process& process, const Rows& rows) {
  const GaussianMixtureScore mixture = mixture_of(set, process);
  std::vector<double> values;
  for (std::size_t i = 0; i < rows.t.size(); ++i)
    for (const double score : mixture.answer(std::span(rows.z).subspan(2 * i, 2), rows.t[i]).score)
      values.push_back(-process.sigma(rows.t[i]) * score);
  return values;
}

/// Means over steps of f(target, z, t) summed over a step's rows: independent even where a step's rows share points.
template <typename F>
std::vector<double> by_step(const Rows& rows, const F& f) {
  std::vector<double> means(rows.t.size() / batch);
  for (std::size_t i = 0; i < rows.target.size(); ++i) means[i / (2 * batch)] += f(i) / static_cast<double>(2 * batch);
  return means;
}

TEST(PosteriorTarget, OneDrawEqualsDenoisingScoreMatchingInLaw) {
  const auto ground = ground_of(plane_points(), plane_points());
  const Rows dsm = rows_of(objective_of(ground, "data", "conditional"), 600);
  const Rows one = rows_of(objective_of(ground, "data", "posterior"), 600);
  ASSERT_EQ(dsm.z, one.z);  // same states: differences are paired
  EXPECT_NE(dsm.target, one.target);
  const std::pair<const char*, double (*)(double, double)> moments[] = {
      {"target", [](double y, double) { return y; }},
      {"target^2", [](double y, double) { return y * y; }},
      {"target^3 z", [](double y, double z) { return y * y * y * z; }},
      {"|target| z^2", [](double y, double z) { return std::abs(y) * z * z; }}};
  for (const auto& [name, moment] : moments) {
    const auto difference =
        by_step(dsm, [&](std::size_t i) { return moment(dsm.target[i], dsm.z[i]) - moment(one.target[i], one.z[i]); });
    expect_zero(difference, name);
  }
}

TEST(PosteriorTarget, IsUnbiasedAndItsVarianceFallsAsOneOverK) {
  const auto ground = ground_of(plane_points(), plane_points());
  std::vector<double> variances;
  for (const char* target : {"posterior:1", "posterior:4", "posterior:16"}) {
    const Rows rows = rows_of(objective_of(ground, "data", target), 400);
    const auto exact = exact_noise(ground.score_set, ground.process, rows);
    expect_zero(by_step(rows, [&](std::size_t i) { return rows.target[i] - exact[i]; }), target);
    expect_zero(by_step(rows, [&](std::size_t i) { return (rows.target[i] - exact[i]) * rows.z[i]; }), target);
    variances.push_back(mean(by_step(rows, [&](std::size_t i) { return std::pow(rows.target[i] - exact[i], 2); })));
  }
  EXPECT_NEAR(variances[0] / variances[1], 4.0, 0.25);
  EXPECT_NEAR(variances[0] / variances[2], 16.0, 1.0);
}

TEST(ExactTarget, IsTheEmpiricalScoreInEveryView) {
  for (const char* name : {"linear", "edm", "vp", "cosine"}) {
    const auto ground = ground_of(plane_points(), plane_points(), Process::named(name));
    const Objective objective = objective_of(ground, "data", "exact");
    GaussianMixtureScore mixture = mixture_of(ground.score_set, ground.process);
    for (const View view : {View::eps, View::x0, View::v, View::score}) {
      const Objective::Batch drawn = objective.batch(1, 0, 0, batch, Parameterisation::plain(view));
      const auto expected = mixture.predict(drawn.draw.z, drawn.draw.t_told, view).to_host();
      const auto got = drawn.target.to_host();
      for (std::size_t i = 0; i < got.size(); ++i) {
        // Beside the score's own accuracy: what float32 levels of coordinates up to 2 leave of (z - alpha x)/sigma.
        const double t = drawn.draw.t_told[i / 2];
        const Coefficients c = target_coefficients(ground.process, t, view);
        const double rounding = 2.0 * 0x1p-24 * std::abs(c.e) / ground.process.sigma(t);
        EXPECT_NEAR(got[i], expected[i], 2e-5 * (1.0 + std::abs(expected[i])) + rounding)
            << name << " " << name_of(view) << " at t = " << t;
      }
    }
  }
}

TEST(BatchTarget, IsUnbiasedWithTheGeneratingImageOnly) {
  const auto ground = ground_of(plane_points(), plane_points());
  const auto bias = [&](const char* target) {
    const Rows rows = rows_of(objective_of(ground, "data", target), 3000);
    const auto exact = exact_noise(ground.score_set, ground.process, rows);
    return by_step(rows, [&](std::size_t i) { return (rows.target[i] - exact[i]) * rows.z[i]; });
  };
  expect_zero(bias("batch:4"), "with the generating image");
  expect_zero(bias("batch:1"), "the generating image alone: denoising score matching");
  const auto without = bias("batch-without:4");
  EXPECT_GT(std::abs(mean(without)), 8.0 * standard_error(without));
}

TEST(BatchTarget, VarianceFallsWithItsSize) {
  const auto ground = ground_of(plane_points(), plane_points());
  const auto spread = [&](const char* target) {
    const Rows rows = rows_of(objective_of(ground, "data", target), 200);
    const auto exact = exact_noise(ground.score_set, ground.process, rows);
    return mean(by_step(rows, [&](std::size_t i) { return std::pow(rows.target[i] - exact[i], 2); }));
  };
  const double dsm = spread("conditional"), four = spread("batch:4"), many = spread("batch:64");
  EXPECT_LT(four, 0.8 * dsm);
  EXPECT_LT(many, 0.25 * four);
}

/// The gradient of the mean loss of a small network, as one vector.
std::vector<double> gradient(NetworkScore& model, const Objective& objective, std::uint32_t step) {
  const Objective::Batch drawn = objective.batch(5, step, 0, batch, model.parameterisation());
  ForwardContext context{.training = true, .seed = 1, .step = step, .samples = drawn.draw.samples};
  const Tensor loss =
      squared_error(model.output(drawn.draw.z, drawn.draw.t_told, {}, context), drawn.target, drawn.weight);
  loss.backward(Tensor::full(loss.shape(), 1.0 / batch, loss.device()));
  std::vector<double> all;
  for (const Parameter& parameter : model.network().parameters()) {
    for (const double value : parameter.value.grad().to_host_double()) all.push_back(value);
    parameter.value.clear_grad();
  }
  return all;
}

// Song et al., section 4.3: on states of D_region, targets drawn from the posterior over D_score give the same expected
// gradient as the exact score of D_score, and the conditional targets of D_region do not.
TEST(Region, ResampledTargetsHaveTheGradientOfTheExactScore) {
  const data::ImageSet region = plane_points();
  const std::vector<std::int64_t> first = {0, 1, 2, 3};
  const auto ground = ground_of(region.selected(first), region);
  MlpConfig config;
  config.hidden_width = 8;
  config.hidden_layers = 1;
  NetworkScore model(std::make_shared<Mlp>(config, Device{}, 1), Process::linear(), noise);
  const Objective exact = objective_of(ground, "data", "exact"), resampled = objective_of(ground, "data", "posterior"),
                  dsm = objective_of(ground, "data", "conditional");
  std::vector<std::vector<double>> difference, wrong;  // of each parameter, by step
  for (std::uint32_t step = 0; step < 400; ++step) {
    const auto a = gradient(model, exact, step), b = gradient(model, resampled, step), c = gradient(model, dsm, step);
    difference.resize(a.size());
    wrong.resize(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference[i].push_back(b[i] - a[i]);
      wrong[i].push_back(c[i] - a[i]);
    }
  }
  const auto largest = [](const std::vector<std::vector<double>>& by_parameter) {
    double most = 0.0;
    for (const auto& values : by_parameter)
      if (const double error = standard_error(values); error > 0.0)
        most = std::max(most, std::abs(mean(values)) / error);
    return most;
  };
  ASSERT_GT(difference.size(), 200u);
  EXPECT_LT(largest(difference), 4.5);  // of some 300 parameters: beyond 4.5 by chance once in 500 runs
  EXPECT_GT(largest(wrong), 10.0);
}

TEST(DuplicatedTarget, AnImageStandsForItsNearest) {
  const data::ImageSet region = point_images({0, 0, 1, 0, 0.2f, 0.1f, 0.9f, -0.3f}, 2);
  const std::vector<std::int64_t> first = {0, 1};
  const auto ground = ground_of(region.selected(first), region);
  const DuplicatedTarget target(region, EmpiricalScore(ground.score_set));
  EXPECT_EQ(target.stands_for(), (std::vector<std::int64_t>{0, 1, 0, 1}));
  const Objective objective = objective_of(ground, "data", "duplicated");
  const auto drawn = objective.batch(3, 0, 0, batch, Parameterisation::plain(View::x0));
  const auto values = drawn.target.to_host();
  for (std::size_t i = 0; i < batch; ++i) {
    EXPECT_FLOAT_EQ(values[2 * i], drawn.draw.source[i] % 2 == 0 ? 0.0f : 1.0f);
    EXPECT_FLOAT_EQ(values[2 * i + 1], 0.0f);
  }
}

TEST(ThickShells, TheTargetIsTheImageSeenFromTheLevelTold) {
  const auto ground = ground_of(plane_points(), plane_points());
  const Objective objective = objective_of(ground, "shells:0.2", "conditional");
  const Process& process = ground.process;
  const auto x = ground.region.to_float();
  bool above = false, below = false;
  const auto drawn = objective.batch(3, 0, 0, batch, noise);
  const auto z = drawn.draw.z.to_host(), target = drawn.target.to_host();
  for (std::size_t i = 0; i < batch; ++i) {
    const double t = drawn.draw.t_told[i];
    EXPECT_LE(std::abs(drawn.draw.t_state[i] - t), 0.2 + 1e-12);
    above = above || drawn.draw.t_state[i] > t + 0.1;
    below = below || drawn.draw.t_state[i] < t - 0.1;
    for (std::size_t j = 0; j < 2; ++j) {
      const double clean = x[2 * static_cast<std::size_t>(drawn.draw.source[i]) + j];
      const double expected = (z[2 * i + j] - process.alpha(t) * clean) / process.sigma(t);
      EXPECT_NEAR(target[2 * i + j], expected, 1e-5 * (1.0 + std::abs(expected) + 1.0 / t));
    }
  }
  EXPECT_TRUE(above && below);
}

TEST(TrajectoryStates, FollowTheFlowOfTheirModel) {
  // Of N(0, 4 I) under the linear path: z(t) is z(1) times the marginal's deviation.
  GaussianMixtureScore model({{.weight = 1.0, .mean = {0.0, 0.0}, .covariance = {4.0}}}, Process::linear());
  const TrajectoryStates source(model, {1, 1, 2}, {.count = 5, .steps = 100, .seed = 9, .labels = {}});
  DrawRequest request{.seed = 2, .step = 3};
  for (std::int64_t i = 0; i < 40; ++i) request.t.push_back(0.02 + 0.024 * static_cast<double>(i));
  const Draw draw = source.draw(request);
  const auto z = draw.z.to_host();
  const auto start = start_from_noise(model.process(), {1, 1, 2}, {0, 1, 2, 3, 4}, 9, Device{}).z.to_host();
  for (std::size_t i = 0; i < request.t.size(); ++i) {
    const double t = request.t[i], scale = std::sqrt(4.0 * (1.0 - t) * (1.0 - t) + t * t);
    bool found = false;
    for (std::size_t k = 0; k < 5; ++k)
      found = found || (std::abs(z[2 * i] - scale * start[2 * k]) < 2e-3 &&
                        std::abs(z[2 * i + 1] - scale * start[2 * k + 1]) < 2e-3);
    EXPECT_TRUE(found) << "t = " << t;
  }
  const auto states = std::make_shared<TrajectoryStates>(model, Shape{1, 1, 2});
  EXPECT_THROW(Objective(states, std::make_shared<ConditionalTarget>(), parse_weighting("raw"),
                         parse_noise_levels("uniform", model.process())),
               Error);
}

TEST(Interventions, WrongNamesAreRefused) {
  const auto ground = ground_of(plane_points(), plane_points());
  for (const char* text : {"", "date", "shells", "shells:-1", "shells:x", "trajectory", "data:1"})
    EXPECT_THROW(parse_source(text, ground), UsageError) << text;
  for (const char* text : {"", "dsm2", "posterior:0", "posterior:1.5", "exact:2", "batch:0", "batch:x", "duplicated:1"})
    EXPECT_THROW(parse_target(text, ground), UsageError) << text;
}

}  // namespace
}  // namespace tweedie
