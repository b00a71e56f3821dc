#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/data/image_set.h"
#include "diffusion/gaussian_mixture.h"
#include "diffusion/posterior_targets.h"
#include "diffusion/samplers.h"
#include "diffusion/statistics.h"
#include "diffusion/trainer.h"
#include "experiments/common/progress.h"
#include "experiments/common/sweep.h"
#include "experiments/generalization_through_variance/part.h"
#include "nn/mlp.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

PointSet hexagon() {
  std::vector<double> points;
  for (int i = 0; i < 6; ++i) {
    points.push_back(std::cos(std::numbers::pi * i / 3.0));
    points.push_back(std::sin(std::numbers::pi * i / 3.0));
  }
  return {std::move(points), 2};
}

/// Points as pictures of 1 x 1 with two channels.
data::ImageSet images_of(const PointSet& set) {
  const std::vector<float> values(set.points().begin(), set.points().end());
  return data::make_image_set("hexagon", data::Split::train, {set.count(), 1, 1, set.dimension()}, values);
}

struct Ground {
  PointSet set = hexagon();
  Process process = Process::named("linear", {{"t_min", 0.02}});
  std::shared_ptr<const DeviceImages> images;
  std::shared_ptr<const EmpiricalScore> score;
};

Ground lay_ground() {
  Ground ground;
  const data::ImageSet set = images_of(ground.set);
  auto images = std::make_shared<DeviceImages>();
  images->pixels = Tensor::from_host(set.floats(), {set.count, set.dimension()}, Device{});
  images->height = images->width = 1;
  images->channels = 2;
  ground.images = images;
  ground.score = std::make_shared<EmpiricalScore>(set);
  return ground;
}

/// x (n) then y (n) of Heun samples from the noise of stream 0, 1, ...
std::vector<float> generate(ScoreModel& model, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> streams(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < streams.size(); ++i) streams[i] = static_cast<std::int64_t>(i);
  const SamplerState start = start_from_noise(model.process(), {1, 1, 2}, streams, seed, Device{}, {}, 0.995);
  const std::vector<float> points = heun(model, start, {.steps = 30, .batch = 256}).to_host();
  std::vector<float> columns(points.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    columns[i] = points[2 * i];
    columns[streams.size() + i] = points[2 * i + 1];
  }
  return columns;
}

/// Mean square error of the noise prediction against the exact one, at fresh noised points.
double error_of(ScoreModel& model, const Ground& ground, std::uint64_t seed) {
  GaussianMixtureScore exact(
      [&] {
        std::vector<GaussianComponent> components;
        for (std::int64_t i = 0; i < ground.set.count(); ++i)
          components.push_back({1.0, {ground.set.point(i)[0], ground.set.point(i)[1]}, {0.0}});
        return components;
      }(),
      ground.process);
  constexpr std::int64_t count = 1024;
  std::vector<std::int64_t> indices, streams;
  std::vector<double> t;
  for (std::int64_t i = 0; i < count; ++i) {
    indices.push_back(i % ground.set.count());
    streams.push_back(i);
    t.push_back(0.05 + 0.9 * (static_cast<double>(i) + 0.5) / count);
  }
  const Tensor z = noised_images(*ground.images, ground.process, indices, t, {seed, Purpose::probe_noise, 0}, streams);
  const std::vector<double> a = model.predict(z, t, View::eps).to_host_double(),
                            b = exact.predict(z, t, View::eps).to_host_double();
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(a[i] - b[i], 2);
  return sum / static_cast<double>(a.size());
}

struct Outcome {
  PlaneMasses masses;
  double error = 0.0;
  std::vector<float> samples;
};

Outcome train(const Ground& ground, bool exact, std::int64_t steps, std::uint64_t seed, std::int64_t samples) {
  const MlpConfig config{.channels = 2, .hidden_width = 64, .hidden_layers = 3};
  NetworkScore model(std::make_shared<Mlp>(config, Device{}, seed), ground.process, Parameterisation::plain(View::v));
  std::shared_ptr<const Target> target = std::make_shared<ConditionalTarget>();
  if (exact) target = std::make_shared<ExactTarget>(ground.score);
  const Objective objective(std::make_shared<NoisedData>(ground.images, ground.process), target, parse_weighting("raw"),
                            parse_noise_levels("uniform", ground.process));
  TrainerOptions options{.steps = steps, .batch = 128, .seed = seed, .log_every = steps};
  options.optimizer.learning_rate = {
      .base = 3e-3, .warmup = 50, .schedule = LearningRate::Schedule::cosine, .total = steps};
  options.optimizer.clip_norm = 1.0;
  Trainer trainer(model, objective, nullptr, options);
  trainer.run(steps, {});
  Outcome outcome;
  outcome.samples = generate(model, samples, seed);
  outcome.masses = plane_masses(outcome.samples, ground.set);
  outcome.error = error_of(model, ground, seed);
  return outcome;
}

/// One thread while it lives: these networks' operations are too small to share, and where other processes hold the
/// cores, threads that wait for each other take twenty times as long.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

Panel cloud(const std::string& title, const std::vector<float>& samples, const PointSet& set) {
  Series dots{.draw = Draw::points, .colour = 0}, points{.draw = Draw::points, .colour = 3};
  const std::size_t n = samples.size() / 2;
  for (std::size_t i = 0; i < std::min<std::size_t>(n, 700); ++i) {
    dots.x.push_back(samples[i]);
    dots.y.push_back(samples[n + i]);
  }
  for (std::int64_t i = 0; i < set.count(); ++i) {
    points.x.push_back(set.point(i)[0]);
    points.y.push_back(set.point(i)[1]);
  }
  return {.title = title,
          .x = {.from = -1.5, .to = 1.5},
          .y = {.from = -1.5, .to = 1.5},
          .series = {dots, points},
          .legend = Legend::none};
}

}  // namespace

Part run_mlp(const PartSettings& settings) {
  const OneThread alone;
  const Ground ground = lay_ground();
  const int seeds = static_cast<int>(std::min<std::int64_t>(settings.models, settings.quick ? 8 : 24));
  const std::vector<std::int64_t>& budgets = settings.training_steps;
  const std::int64_t samples = std::min<std::int64_t>(settings.samples, 2000);
  Part part{.results = {{"cells", Json::array()}}};
  Progress::Stage stage(*settings.progress, "mlp", seeds * static_cast<std::int64_t>(budgets.size()) * 2);
  Plot plot{.columns = 2, .panel_width = 380, .panel_height = 360};
  Table table{.columns = {"steps", "targets", "edges", "near", "outside", "error of the noise prediction"}};
  for (const std::int64_t steps : budgets) {
    std::vector<double> edge[2], near[2], outside[2], error[2], differences;
    for (int seed = 0; seed < seeds; ++seed)
      for (const bool exact : {false, true}) {
        const std::uint64_t key = settings.seed + static_cast<std::uint64_t>(seed);
        const Outcome outcome = train(ground, exact, steps, key, samples);
        part.results["cells"].push_back({{"steps", steps},
                                         {"seed", key},
                                         {"target", exact ? "exact" : "conditional"},
                                         {"edge_mass", outcome.masses.edge},
                                         {"near_mass", outcome.masses.near},
                                         {"centre_mass", outcome.masses.centre},
                                         {"outside_mass", outcome.masses.outside},
                                         {"error_to_exact", outcome.error},
                                         {"n", samples}});
        edge[exact].push_back(outcome.masses.edge);
        near[exact].push_back(outcome.masses.near);
        outside[exact].push_back(outcome.masses.outside);
        error[exact].push_back(outcome.error);
        if (seed == 0)
          plot.panels.push_back(cloud(fmt::format("{} targets, {} steps", exact ? "exact" : "noisy", steps),
                                      outcome.samples, ground.set));
        if (exact) differences.push_back(edge[0].back() - edge[1].back());
        stage.advance();
      }
    for (const bool exact : {false, true}) {
      std::vector<std::string> row = {std::to_string(steps), exact ? "exact" : "noisy"};
      for (const auto* values : {&edge[exact], &near[exact], &outside[exact], &error[exact]}) {
        const OverModels value = over_models(*values);
        row.push_back(fmt::format("{:.4f} ± {:.4f}", value.value, value.standard_error));
      }
      table.rows.push_back(std::move(row));
    }
    Claim claim = difference_claim(
        fmt::format("A small network fills gaps because its targets are noisy (hexagon, {} steps)", steps),
        "mass half-way between neighbours, noisy minus exact targets", student_estimate(differences), Expected::rise,
        samples);
    claim.note += fmt::format(
        "; exact targets: {:.3f} there; error against the exact noise prediction {:.2g} with noisy, {:.2g} with exact "
        "targets",
        mean(edge[1]), mean(error[0]), mean(error[1]));
    part.claims.push_back(std::move(claim));
  }
  part.page = [plot, table, seeds](Report& report) {
    report.text(
        fmt::format("The same control for a trained network: an MLP of three hidden layers of 64 on six points, "
                    "trained by Adam on fresh draws, once on the noisy target (J1) and once on the exact score (J0), "
                    "from the same weights, data and noise; {} seeds.",
                    seeds));
    report.plot(plot, "Samples (blue) of the first seed's networks, 30 Heun steps; the data in red.");
    report.table(table,
                 "Shares of samples within 0.25 of the mid-points of neighbouring points and of a point, and outside "
                 "the square; mean square error against the exact noise prediction; ± standard error over seeds.");
  };
  return part;
}

}  // namespace tweedie::experiments
