#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "diffusion/kernel_ridge_score.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/selective_underfitting/studies.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

struct Point {
  double x, y;
};
constexpr std::array<Point, 4> data_points = {{{-1.0, 0.0}, {-0.2, 0.0}, {0.2, 0.0}, {1.0, 0.0}}};

/// Where samples of one model fall, as shares: of one seed, or of all as one.
struct Outcome {
  std::string key, label;
  std::vector<Point> samples;
  Estimate copies, good, bad, other;
  double supervised_error = 0.0;  // to the exact score of the four points, noise units per dimension
};

enum class Place : std::uint8_t { copy, good, bad, other };

/// Within 0.05 of a data point; else within 0.15 of the open segments A-B or C-E (near by angle), or B-C (near by
/// distance).
Place place_of(const Point& p) {
  for (const Point& q : data_points)
    if (std::hypot(p.x - q.x, p.y - q.y) < 0.05) return Place::copy;
  if (std::abs(p.y) > 0.15) return Place::other;
  if (std::abs(p.x) < 0.2) return Place::bad;
  return std::abs(p.x) < 1.0 ? Place::good : Place::other;
}

/// The four points as (x, y), or as (r, cos, sin) of their polar coordinates.
data::ImageSet point_set(bool polar) {
  std::vector<float> values;
  for (const Point& p : data_points) {
    const double r = std::hypot(p.x, p.y);
    const std::vector<double> row = polar ? std::vector{r, p.x / r, p.y / r} : std::vector{p.x, p.y};
    for (const double value : row) values.push_back(static_cast<float>(value));
  }
  return data::make_image_set(polar ? "polar" : "plane", data::Split::train, {4, 1, 1, polar ? 3 : 2},
                              std::span<const float>(values));
}

Outcome outcome_of(std::string key, std::string label, ScoreModel& model, const data::ImageSet& set, std::uint64_t seed,
                   const StudyContext& context) {
  const std::int64_t samples = context.scale.samples;
  Outcome outcome{.key = std::move(key), .label = std::move(label)};
  const std::vector<float> values = generate(model, {1, 1, set.channels}, samples, seed).images;
  const auto d = static_cast<std::size_t>(set.channels);
  std::vector<double> at[4];
  for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i) {
    const float* v = &values[i * d];
    Point p{v[0], v[1]};
    if (d == 3) {  // (r, cos, sin): the direction is the normalised pair
      const double norm = std::max(std::hypot(double{v[1]}, double{v[2]}), 1e-12);
      p = {double{v[0]} * v[1] / norm, double{v[0]} * v[2] / norm};
    }
    outcome.samples.push_back(p);
    for (std::size_t place = 0; place < 4; ++place)
      at[place].push_back(place == static_cast<std::size_t>(place_of(p)) ? 1.0 : 0.0);
  }
  outcome.copies = bootstrap_mean(at[0]);
  outcome.good = bootstrap_mean(at[1]);
  outcome.bad = bootstrap_mean(at[2]);
  outcome.other = bootstrap_mean(at[3]);
  // 256 states a level: each data point stands 64 times.
  std::vector<std::int64_t> repeated;
  for (std::int64_t i = 0; i < 256; ++i) repeated.push_back(i % 4);
  const auto images = on_device(set.selected(repeated), context.device);
  const ProbeReference reference =
      reference_at(noised_states("sup", *images, model.process(), probe_levels(), 256, seed),
                   EmpiricalScore(set, context.device), model.process());
  outcome.supervised_error = mean(probe(model, reference).error);
  return outcome;
}

std::vector<double> polar_features(std::span<const double> z) {
  const double r = std::max(std::hypot(z[0], z[1]), 1e-12);
  return {r, z[1] / r, z[0] / r};
}

Outcome of_all_seeds(const std::vector<Outcome>& by_seed) {
  Outcome all = by_seed.front();
  for (const auto place : {&Outcome::copies, &Outcome::good, &Outcome::bad, &Outcome::other})
    all.*place = over_seeds(by_seed, place);
  std::vector<double> errors;
  all.samples.clear();
  for (const Outcome& outcome : by_seed) {
    errors.push_back(outcome.supervised_error);
    all.samples.insert(all.samples.end(), outcome.samples.begin(), outcome.samples.end());
  }
  all.supervised_error = mean(errors);
  return all;
}

Panel panel_of(const Outcome& outcome) {
  std::vector<double> x;
  for (const Point& p : outcome.samples) x.push_back(p.x);
  Panel panel{.title = outcome.label,
              .x = {.label = "x", .from = -1.5, .to = 1.5},
              .y = {.label = "share of samples", .from = 0.0},
              .series = {histogram("", x, 75, -1.5, 1.5)},
              .legend = Legend::none};
  const char* names[] = {"A", "B", "C", "E"};
  for (std::size_t i = 0; i < data_points.size(); ++i) panel.vertical.push_back({data_points[i].x, names[i]});
  return panel;
}

/// The aligned model puts fewer of its samples between B and C than the plain one of its seed.
Claim fewer_bad(const std::vector<Outcome>& plain, const std::vector<Outcome>& aligned) {
  const auto bad = [](const std::vector<Outcome>& outcomes) {
    std::vector<Estimate> shares;
    for (const Outcome& outcome : outcomes) shares.push_back(outcome.bad);
    return shares;
  };
  const std::vector<Estimate> before = bad(plain), after = bad(aligned);
  const Estimate more = difference_over_seeds(after, before);
  return claim_over_seeds(
      fmt::format("{} puts fewer samples between B and C than {}", aligned.front().label, plain.front().label),
      "share between B and C, aligned − plain", more, verdict_of(more.high<0.0, more.low> 0.0), plain.size(),
      fmt::format("{:.3f} against {:.3f}", over_seeds(aligned, &Outcome::bad).value,
                  over_seeds(plain, &Outcome::bad).value));
}

Json row_of(const Outcome& outcome, std::uint64_t seed) {
  Json row = {{"model", outcome.key},
              {"seed", seed},
              {"supervised_error", outcome.supervised_error},
              {"n", outcome.samples.size()}};
  const std::pair<const char*, const Estimate*> shares[] = {
      {"copies", &outcome.copies}, {"good", &outcome.good}, {"bad", &outcome.bad}, {"other", &outcome.other}};
  for (const auto& [name, estimate] : shares)
    row[name] = {{"value", estimate->value}, {"low", estimate->low}, {"high", estimate->high}};
  return row;
}

/// The radially equivariant network of an MLP's size; any other network stands for itself.
std::string radial_network(const std::string& network) {
  return network.starts_with("mlp:") ? "radial-" + network : network;
}

}  // namespace

StudyPage perception_study(const StudyContext& context) {
  const data::ImageSet plane = point_set(false), polar = point_set(true);
  const std::int64_t steps = context.scale.steps, samples = context.scale.samples;
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  const std::vector<std::uint64_t>& seeds = context.seeds;
  std::vector<std::vector<Outcome>> models;  // of each the seeds
  Progress::Stage stage(context.progress, "perception toy", 5);
  const auto network = [&](const char* key, const char* label, const data::ImageSet& set, bool radial) {
    plan.model.network = radial ? radial_network(context.scale.network) : context.scale.network;
    std::vector<NetworkTask> tasks;
    for (const std::uint64_t seed : seeds) {
      tasks.push_back({plan, &set});
      tasks.back().plan.name = fmt::format("perception-{}-seed{}", key, seed);
      tasks.back().plan.seed = seed;
    }
    train_networks(tasks, context);
    std::vector<Outcome>& outcomes = models.emplace_back();
    for (const NetworkTask& task : tasks)
      outcomes.push_back(
          outcome_of(key, label, *trained_network(task.plan, set, context), set, task.plan.seed, context));
    stage.advance();
  };
  // Kernel width and ridge are chosen by the error where the model is supervised, as a practitioner could, on the first
  // seed's draws; every seed fits draws of its own.
  const auto ridge = [&](const char* key, const char* label, const KernelRidgeScore::Features& features) {
    const auto fitted = [&](double width, double strength, std::uint64_t seed) {
      KernelRidgeScore model(on_device(plane, context.device), Process::linear(), features,
                             {.draws = std::clamp<std::int64_t>(samples * 3 / 2, 50, 5000),
                              .width = width,
                              .time_width = 0.2,
                              .ridge = strength,
                              .seed = seed});
      return outcome_of(key, fmt::format("{}, width {}, ridge {}", label, width, strength), model, plane, seed,
                        context);
    };
    std::optional<Outcome> best;
    double best_width = 0.0, best_strength = 0.0;
    for (const double width : {0.2, 0.4, 0.8})
      for (const double strength : {0.01, 0.1, 1.0}) {
        Outcome outcome = fitted(width, strength, seeds.front());
        if (best && outcome.supervised_error >= best->supervised_error) continue;
        best = std::move(outcome);
        best_width = width;
        best_strength = strength;
      }
    std::vector<Outcome>& outcomes = models.emplace_back();
    outcomes.push_back(std::move(*best));
    for (std::size_t i = 1; i < seeds.size(); ++i) outcomes.push_back(fitted(best_width, best_strength, seeds[i]));
    stage.advance();
  };
  network("mlp", "MLP on (x, y)", plane, false);
  network("mlp_polar", "MLP on (r, cos, sin)", polar, false);
  ridge("ridge", "kernel ridge on (x, y)", [](std::span<const double> z) { return std::vector(z.begin(), z.end()); });
  ridge("ridge_polar", "kernel ridge on (r, sin, cos)", polar_features);
  network("radial", "radially equivariant MLP", plane, true);

  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  Table table{.columns = {"model", "copies", "between A-B or C-E", "between B and C", "elsewhere", "supervised error"},
              .rows = {}};
  std::vector<Panel> panels;
  for (const std::vector<Outcome>& outcomes : models) {
    for (std::size_t i = 0; i < seeds.size(); ++i) page.results.push_back(row_of(outcomes[i], seeds[i]));
    const Outcome outcome = of_all_seeds(outcomes);
    table.rows.push_back({outcome.label, with_interval(outcome.copies), with_interval(outcome.good),
                          with_interval(outcome.bad), with_interval(outcome.other),
                          fmt::format("{:.4f}", outcome.supervised_error)});
    panels.push_back(panel_of(outcome));
  }
  page.claims = {fewer_bad(models[0], models[1]), fewer_bad(models[2], models[3]), fewer_bad(models[0], models[4])};
  page.add = [table, panels, samples, steps, count = seeds.size()](Report& report) {
    report.section("Perception-aligned toy: what lies between four points");
    report.text(fmt::format(
        "A (-1, 0) and B (-.2, 0) share an angle, so do C (.2, 0) and E (1, 0); B and C are nearest by distance. Good "
        "samples lie between A and B or C and E, bad ones between B and C. Networks are trained for {} steps; all "
        "models are supervised at the same four points and differ in what they see of a state. {} samples of each and "
        "{} "
        "seeds, of weights, draws and noise; intervals: {}; a copy lies within 0.05 of a point. Of nine kernel models "
        "a "
        "feature (width 0.2, 0.4, 0.8; ridge 0.01, 0.1, 1) the one with the least supervised error is shown.",
        steps, samples, count, interval_meaning(count, "95 % bootstrap over samples")));
    report.plot({.panels = panels, .columns = 2, .panel_height = 300},
                "Where samples of all seeds fall along x (y is near 0 for all); bars of width 0.04.");
    report.table(table,
                 "Shares of samples; the supervised error is against the exact score of the points, (σ²/d)|s − "
                 "s*|², averaged over t = 0.1, …, 0.9.");
  };
  return page;
}

}  // namespace tweedie::experiments
