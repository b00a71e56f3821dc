#include "diffusion/samplers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "diffusion/gaussian_mixture.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

using ::testing::HasSubstr;

constexpr Device reference{DeviceKind::reference};  // double precision, so that orders show

/// One normal distribution N(mean, variance) on the line: its probability flow is known.
struct Normal {
  double mean = 0.7, variance = 0.09;
  GaussianMixtureScore model(const Process& process, Device device = reference) const {
    return {{{1.0, {mean}, {variance}}}, process, device};
  }
  double deviation(const Process& process, double t) const {
    return std::sqrt(std::pow(process.alpha(t), 2) * variance + std::pow(process.sigma(t), 2));
  }
  /// Where the flow takes the state z at t.
  double flow(const Process& process, double z, double t, double end) const {
    return process.alpha(end) * mean + deviation(process, end) / deviation(process, t) * (z - process.alpha(t) * mean);
  }
};

std::vector<std::int64_t> streams(std::int64_t count, std::int64_t first = 0) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(count));
  std::iota(samples.begin(), samples.end(), first);
  return samples;
}

SamplerState state_of(const std::vector<double>& z, const Shape& shape, double t, Device device = reference) {
  return {Tensor::from_host(std::span<const double>(z), shape, device), t, streams(shape[0]), {}};
}

/// Error of a sampler with `steps` steps on the normal distribution.
double flow_error(Sampler sampler, const Process& process, TimeGrid grid, std::int64_t steps, double start,
                  double end) {
  const Normal normal;
  GaussianMixtureScore model = normal.model(process);
  const double z = process.alpha(start) * normal.mean + 1.3 * normal.deviation(process, start);
  const SamplerOptions options{
      .steps = steps, .grid = grid, .t_end = end, .denoise = false, .noise_scale = 0.0, .batch = 1};
  const double result = sampler(model, state_of({z}, {1, 1}, start), options).to_host_double()[0];
  return std::abs(result - normal.flow(process, z, start, end));
}

struct Range {
  Process process;
  TimeGrid grid;
  double start, end;
};
const std::vector<Range> ranges = {{Process::linear(), TimeGrid::uniform, 0.95, 0.05},
                                   {Process::edm(), TimeGrid::edm, 20.0, 0.05},
                                   {Process::vp(), TimeGrid::log_snr, 0.8, 0.01},
                                   {Process::vp_song(), TimeGrid::uniform, 0.9, 0.1},
                                   {Process::cosine(), TimeGrid::uniform, 0.95, 0.05}};

TEST(Samplers, OrdersOfConvergence) {
  const std::map<std::string_view, double> orders = {
      {"euler", 1.0}, {"heun", 2.0}, {"dpm++2m", 2.0}, {"euler-maruyama", 1.0}, {"ancestral", 1.0}};
  for (const Range& range : ranges) {
    for (const auto& [name, order] : orders) {
      const Sampler sampler = sampler_named(name);
      const double coarse = flow_error(sampler, range.process, range.grid, 160, range.start, range.end);
      const double fine = flow_error(sampler, range.process, range.grid, 320, range.start, range.end);
      EXPECT_NEAR(std::log2(coarse / fine), order, 0.15)
          << name << " on " << range.process.name() << ": " << coarse << " then " << fine;
      EXPECT_LT(fine, order == 1.0 ? 2e-2 : 5e-4) << name << " on " << range.process.name();
    }
  }
}

TEST(Samplers, Dopri5KeepsItsToleranceAndIsOfFifthOrder) {
  const Normal normal;
  for (const Range& range : ranges) {
    GaussianMixtureScore model = normal.model(range.process);
    const double z = 1.3 * normal.deviation(range.process, range.start);
    std::vector<double> steps;
    for (double tolerance : {1e-6, 1e-9, 1e-12}) {
      SamplerOptions options{.t_end = range.end, .denoise = false, .batch = 1};
      options.relative_tolerance = options.absolute_tolerance = tolerance;
      double last = 0.0;
      options.on_step = [&](const SamplerStep& step) { last = static_cast<double>(step.step); };
      const double result = dopri5(model, state_of({z}, {1, 1}, range.start), options).to_host_double()[0];
      const double error = std::abs(result - normal.flow(range.process, z, range.start, range.end));
      EXPECT_LT(error, 100.0 * tolerance) << range.process.name();
      steps.push_back(last);
    }
    // An error of order length^5 a step: 1000 times tighter takes at most 4 times the steps, where one wrong
    // coefficient of the tableau would make it 30 times.
    EXPECT_LT(steps[2] / steps[1], 4.5) << range.process.name();
    EXPECT_LT(steps[2], 200.0) << range.process.name();
  }
}

TEST(Samplers, AllReachTheSameMixtureState) {
  for (const Process& process : {Process::linear(), Process::vp_song(), Process::cosine()}) {
    GaussianMixtureScore model({{1.0, {-1.0, 0.2}, {0.05}}, {2.0, {0.8, -0.4}, {0.2, 0.1, 0.1, 0.3}}}, process,
                               reference);
    const SamplerState start = state_of({0.3, -1.1, -0.8, 0.4}, {2, 2}, 0.97);
    SamplerOptions options{.steps = 2000, .t_end = 0.02, .noise_scale = 0.0, .batch = 2};
    options.relative_tolerance = options.absolute_tolerance = 1e-10;
    const std::vector<double> truth = dopri5(model, start, options).to_host_double();
    for (const auto& [name, tolerance] : std::map<std::string_view, double>{
             {"euler", 1e-2}, {"heun", 2e-5}, {"dpm++2m", 1e-3}, {"euler-maruyama", 1e-2}, {"ancestral", 1e-2}}) {
      const std::vector<double> values = sampler_named(name)(model, start, options).to_host_double();
      for (std::size_t i = 0; i < truth.size(); ++i)
        EXPECT_NEAR(values[i], truth[i], tolerance) << name << " on " << process.name();
    }
  }
}

TEST(Samplers, StochasticOnesKeepTheMarginals) {
  constexpr std::int64_t count = 5'000;
  struct Case {
    std::string_view name;
    double noise_scale;
    Process process;
  };
  for (const auto& [name, noise_scale, process] :
       {Case{"euler-maruyama", 1.0, Process::linear()}, Case{"euler-maruyama", 0.5, Process::vp_song()},
        Case{"ancestral", 1.0, Process::cosine()}, Case{"ancestral", 0.6, Process::linear()}}) {
    // Two normals, of which moments one and two of every marginal are known.
    GaussianMixtureScore model({{1.0, {-1.0}, {0.04}}, {3.0, {0.6}, {0.25}}}, process);
    const double mean = 0.25 * -1.0 + 0.75 * 0.6;
    const double variance = 0.25 * (0.04 + 1.0) + 0.75 * (0.25 + 0.36) - mean * mean;
    std::vector<double> clean;
    for (std::int64_t i = 0; i < count; ++i) {
      const RandomKey key{.seed = 5, .purpose = Purpose::test};
      const auto sample = static_cast<std::uint32_t>(i);
      const bool first = uniform(key, sample, 0) < 0.25;
      const double e = normal(key, sample, 4);
      clean.push_back(first ? -1.0 + 0.2 * e : 0.6 + 0.5 * e);
    }
    const Tensor x = Tensor::from_host(std::span<const double>(clean), {count, 1}, {});
    const SamplerState start = start_from_data(process, x, 0.9, streams(count), 3);
    const SamplerOptions options{.steps = 200,
                                 .grid = TimeGrid::log_snr,
                                 .t_end = 0.1,
                                 .denoise = false,
                                 .seed = 3,
                                 .noise_scale = noise_scale,
                                 .batch = count};
    const std::vector<double> z = sampler_named(name)(model, start, options).to_host_double();
    double sum = 0.0, squares = 0.0, fourth = 0.0;
    for (double value : z) sum += value;
    const double z_mean = sum / count;
    for (double value : z) {
      squares += std::pow(value - z_mean, 2);
      fourth += std::pow(value - z_mean, 4);
    }
    const double z_variance = squares / count;
    const double a = process.alpha(0.1), s = process.sigma(0.1), expected = a * a * variance + s * s;
    const double mean_error = std::sqrt(z_variance / count);
    const double variance_error = std::sqrt((fourth / count - z_variance * z_variance) / count);
    EXPECT_NEAR(z_mean, a * mean, 4.0 * mean_error) << name << " " << noise_scale << " " << process.name();
    EXPECT_NEAR(z_variance, expected, 4.0 * variance_error) << name << " " << noise_scale << " " << process.name();
  }
}

TEST(Samplers, RestartAtZeroIsTheIdentity) {
  GaussianMixtureScore model = Normal{}.model(Process::linear(), {});
  const Tensor x = Tensor::full({3, 1}, 0.123, {});
  for (std::string_view name : sampler_names()) {
    const SamplerState start = start_from_data(Process::linear(), x, 0.0, streams(3), 1);
    EXPECT_EQ(sampler_named(name)(model, start, {}).to_host(), x.to_host()) << name;
  }
}

TEST(Samplers, SampleIDependsOnNothingElse) {
  const Process process = Process::linear();
  GaussianMixtureScore model({{1.0, {-1.0, 0.2}, {0.05}}, {2.0, {0.8, -0.4}, {0.2}}}, process);
  for (std::string_view name : sampler_names()) {
    const SamplerOptions options{.steps = 12, .seed = 9, .batch = 4};
    const auto run = [&](std::vector<std::int64_t> samples, std::int64_t batch) {
      SamplerOptions mine = options;
      mine.batch = batch;
      const SamplerState start = start_from_noise(process, {2}, std::move(samples), 9, {}, {}, 0.98);
      return sampler_named(name)(model, start, mine).to_host();
    };
    const std::vector<float> all = run(streams(11), 4);
    const std::vector<float> some = run({7, 2, 10}, 4);
    const std::vector<float> one = run({10}, 4);
    const std::vector<float> wide = run(streams(11), 11);
    for (int k = 0; k < 2; ++k) {
      EXPECT_EQ(some[0 + k], all[14 + k]) << name;
      EXPECT_EQ(some[2 + k], all[4 + k]) << name;
      EXPECT_EQ(some[4 + k], all[20 + k]) << name;
      EXPECT_EQ(one[k], all[20 + k]) << name;
    }
    EXPECT_EQ(wide, all) << name;  // this model does not mix rows; for networks only the noise is the same
    EXPECT_NE(all[0], all[2]);
  }
}

TEST(Samplers, SeedsAndStepsChangeTheNoise) {
  const Process process = Process::linear();
  GaussianMixtureScore model = Normal{}.model(process, {});
  const SamplerState start = start_from_noise(process, {1}, streams(2), 4, {});
  const auto run = [&](std::uint64_t seed) { return ancestral(model, start, {.steps = 5, .seed = seed}).to_host(); };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Samplers, StatesAreShownAsTheyAre) {
  const Process process = Process::linear();
  const Normal normal;
  GaussianMixtureScore model = normal.model(process);
  for (std::string_view name : sampler_names()) {
    std::vector<std::int64_t> seen_samples;
    double last_t = 2.0;
    std::int64_t calls = 0;
    SamplerOptions options{.steps = 6, .t_end = 0.1, .batch = 2};
    options.on_step = [&](const SamplerStep& step) {
      if (step.step == 0) {
        seen_samples.insert(seen_samples.end(), step.samples.begin(), step.samples.end());
        last_t = 2.0;
      }
      ASSERT_EQ(step.t.size(), step.samples.size());
      ASSERT_EQ(step.z.size(0), static_cast<std::int64_t>(step.samples.size()));
      ASSERT_TRUE(step.denoised.defined());
      const std::vector<double> z = step.z.to_host_double(), denoised = step.denoised.to_host_double();
      for (std::size_t n = 0; n < z.size(); ++n)
        EXPECT_NEAR(denoised[n], model.answer(std::span(&z[n], 1), step.t[n]).clean[0], 1e-12) << name;
      EXPECT_LE(step.t[0], last_t) << name;
      last_t = step.t[0];
      EXPECT_EQ(step.steps, name == "dopri5" ? 0 : 6);
      ++calls;
    };
    const Tensor result =
        sampler_named(name)(model, start_from_noise(process, {1}, {5, 6, 7}, 1, reference, {}, 0.9), options);
    EXPECT_EQ(result.shape(), (Shape{3, 1}));
    EXPECT_EQ(seen_samples, (std::vector<std::int64_t>{5, 6, 7})) << name;
    EXPECT_EQ(last_t, 0.1) << name;
    if (name != "dopri5") {
      EXPECT_EQ(calls, 2 * 7) << name;
    }
  }
}

TEST(Samplers, DenoisingIsTheLastAnswer) {
  const Process process = Process::linear();
  const Normal normal;
  GaussianMixtureScore model = normal.model(process);
  for (std::string_view name : sampler_names()) {
    const SamplerState start = start_from_noise(process, {1}, streams(2), 1, reference, {}, 0.9);
    SamplerOptions options{.steps = 6, .t_end = 0.2, .denoise = false};
    const std::vector<double> z = sampler_named(name)(model, start, options).to_host_double();
    options.denoise = true;
    const std::vector<double> clean = sampler_named(name)(model, start, options).to_host_double();
    EXPECT_NEAR(clean[0], model.answer(std::span(&z[0], 1), 0.2).clean[0], 1e-13) << name;
  }
}

TEST(Samplers, GivenTimesAreUsed) {
  const Process process = Process::linear();
  GaussianMixtureScore model = Normal{}.model(process);
  const SamplerState start = start_from_noise(process, {1}, streams(1), 1, reference, {}, 0.9);
  std::vector<double> seen;
  SamplerOptions options{.times = {0.9, 0.5, 0.4, 0.1}};
  options.on_step = [&](const SamplerStep& step) { seen.push_back(step.t[0]); };
  heun(model, start, options);
  EXPECT_EQ(seen, options.times);
  options.times = {0.8, 0.1};
  EXPECT_THROW(heun(model, start, options), Error);
  options.times = {0.9, 0.1, 0.3};
  EXPECT_THROW(heun(model, start, options), Error);
}

TEST(Samplers, TheWholeLinearRange) {
  // From pure noise (alpha = 0) to sigma = 0.
  const Process process = Process::linear();
  const Normal normal;
  GaussianMixtureScore model = normal.model(process);
  const SamplerState start = start_from_noise(process, {1}, streams(1), 1, reference);
  const double z = start.z.to_host_double()[0];
  SamplerOptions options{.steps = 400, .t_end = 0.0, .noise_scale = 0.0};
  for (std::string_view name : sampler_names()) {
    const double result = sampler_named(name)(model, start, options).to_host_double()[0];
    EXPECT_NEAR(result, normal.flow(process, z, 1.0, 0.0), 1e-2) << name;
  }
  options.noise_scale = 1.0;
  EXPECT_TRUE(std::isfinite(ancestral(model, start, options).to_host_double()[0]));
  EXPECT_THROW(euler_maruyama(model, start, options), Error);
}

TEST(Samplers, StartsAreKeyedByStream) {
  const Process process = Process::linear();
  const std::vector<float> all = start_from_noise(process, {2, 1, 3}, streams(5), 7, {}).z.to_host();
  const SamplerState some = start_from_noise(process, {2, 1, 3}, {4, 1}, 7, {});
  EXPECT_EQ(some.t, 1.0);
  EXPECT_EQ(some.z.shape(), (Shape{2, 2, 1, 3}));
  const std::vector<float> values = some.z.to_host();
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_EQ(values[k], all[24 + k]);
    EXPECT_EQ(values[k], normal({7, Purpose::sampler_start, 0}, 4, static_cast<std::uint32_t>(k)));
  }
  // A restart from pure noise is the same start, whatever the data.
  const SamplerState restart = start_from_data(process, Tensor::full({2, 2, 1, 3}, 9.0, {}), 1.0, {4, 1}, 7);
  EXPECT_EQ(restart.z.to_host(), values);
  const SamplerState edm = start_from_noise(Process::edm(), {6}, {4}, 7, {});
  EXPECT_FLOAT_EQ(edm.z.to_host()[0], 80.0F * values[0]);
}

TEST(Samplers, BadInput) {
  const Process process = Process::linear();
  GaussianMixtureScore model = Normal{}.model(process, {});
  SamplerState start = start_from_noise(process, {1}, streams(2), 1, {});
  EXPECT_THROW(heun(model, start, {.steps = 0}), Error);
  EXPECT_THROW(heun(model, start, {.batch = 0}), Error);
  EXPECT_THROW(heun(model, start, {.grid = TimeGrid::log_snr}), Error);
  EXPECT_THROW(dopri5(model, start, {.times = {1.0, 0.5}}), Error);
  EXPECT_THROW(dopri5(model, start, {.relative_tolerance = 0.0}), Error);
  EXPECT_THROW(dopri5(model, start, {.most_steps = 2}), Error);
  EXPECT_THROW(ancestral(model, start, {.noise_scale = 1.5}), Error);
  EXPECT_THROW(euler_maruyama(model, start, {.noise_scale = -1.0}), Error);
  EXPECT_THROW(start_from_noise(process, {1}, {-1}, 1, {}), Error);
  EXPECT_THROW(start_from_noise(process, {1}, {std::int64_t{1} << 32}, 1, {}), Error);
  EXPECT_THROW(sampler_named("heunn"), UsageError);
  GaussianMixtureScore elsewhere = Normal{}.model(process, reference);
  EXPECT_THROW(heun(elsewhere, start, {}), Error);
  start.samples.pop_back();
  EXPECT_THROW(heun(model, start, {}), Error);
}

/// A model that answers only in eps, as an eps-network does, and NaN on request.
class EpsModel final : public ScoreModel {
 public:
  Tensor predict(const Tensor& z, std::span<const double> t, View view, const Tensor&) override {
    for (double level : t) conversion(process_, level, View::eps, view);
    return Tensor::full(z.shape(), std::nan(""), z.device());
  }
  const Process& process() const override { return process_; }
  Device device() const override { return {}; }

 private:
  Process process_ = Process::linear();
};

TEST(Samplers, ErrorsSayWhatToDo) {
  EpsModel model;
  const auto message = [&](double t) -> std::string {
    try {
      heun(model, start_from_noise(Process::linear(), {1}, {3}, 1, {}, {}, t), {});
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message(1.0), HasSubstr("eps cannot be converted to v at t = 1"));
  EXPECT_THAT(message(1.0), HasSubstr("start from a smaller t"));
  EXPECT_THAT(message(0.9), HasSubstr("heun: 1 values of the samples from stream 3 on are not finite"));
}

}  // namespace
}  // namespace tweedie
