#include <algorithm>
#include <cmath>
#include <numeric>

#include "diffusion/gaussian_score.h"
#include "diffusion/memorization.h"
#include "diffusion/shells.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "experiments/selective_underfitting/over_seeds.h"
#include "experiments/selective_underfitting/study.h"
#include "nn/io/npz.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

ShellCurve shell_curve(const std::string& source, const ProbeReference& reference) {
  ShellCurve curve{.source = source, .t = reference.states.t};
  const auto n = static_cast<std::size_t>(reference.states.count());
  for (std::size_t level = 0; level < curve.t.size(); ++level) {
    const std::span<const double> r = std::span(reference.r_star).subspan(level * n, n);
    curve.q05.push_back(quantile(r, 0.05));
    curve.q50.push_back(quantile(r, 0.5));
    curve.q95.push_back(quantile(r, 0.95));
  }
  return curve;
}

/// Training images noised to t and integrated back: does the nearest training image to the result equal the source, and
/// is the result a copy of it (sqrt(m) < 1/3)?
RestartCurve restart_curve(const StudyPlan& plan, const StudyGround& ground, ScoreModel& model, Progress& progress) {
  RestartCurve curve;
  curve.n = std::min(plan.restarts, ground.train.count);
  const auto n = static_cast<std::size_t>(curve.n);
  const auto d = static_cast<std::size_t>(ground.train.dimension());
  std::vector<float> clean(n * d);
  for (std::size_t i = 0; i < n; ++i)
    ground.train.copy_float(static_cast<std::int64_t>(i), std::span(clean).subspan(i * d, d));
  const Tensor x =
      Tensor::from_host(std::span<const float>(clean),
                        {curve.n, ground.train.height, ground.train.width, ground.train.channels}, model.device());
  std::vector<std::int64_t> streams(n);
  std::iota(streams.begin(), streams.end(), 0);
  Progress::Stage stage(progress, "restarts", 21);
  for (int step = 0; step <= 20; ++step, stage.advance()) {
    const double t = static_cast<double>(step) / 20.0;
    SamplerOptions options;
    options.times = falling_times(t);
    options.batch = std::min<std::int64_t>(curve.n, 128);
    if (stop_requested()) stop("what was trained and looked at is saved");
    // One noise an image, the same at every level.
    const SamplerState start = start_from_data(model.process(), x, t, streams, ground.probe_seed);
    const std::vector<float> result = heun(model, start, options).to_host();
    const NeighbourMeasures measures = neighbour_measures(result, *ground.empirical);
    double recovered = 0.0, copied = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const bool same = measures.nearest[i] == static_cast<std::int64_t>(i);
      recovered += same ? 1.0 : 0.0;
      copied += same && measures.m[i] < 1.0 / 9.0 ? 1.0 : 0.0;
    }
    curve.t.push_back(t);
    curve.recovered.push_back(recovered / static_cast<double>(n));
    curve.copied.push_back(copied / static_cast<double>(n));
  }
  return curve;
}

std::vector<double> square_roots(const std::vector<double>& values) {
  std::vector<double> roots;
  for (const double value : values) roots.push_back(std::sqrt(value));
  return roots;
}

std::filesystem::path gallery_of(const StudyPlan& plan, const RunFolder& folder) {
  return folder.images() / (plan.name + "_nearest.png");
}

}  // namespace

OverlapCurve overlap_curve(const StudyPlan& plan, const StudyGround& ground, Json& results) {
  const PairDistances pairs(ground.train);
  OverlapCurve curve;
  for (const double t : falling_times(1.0)) {
    curve.t.insert(curve.t.begin(), t);
    // The overlap falls with distance, so its upper quantile over pairs is at the lower quantile of distances.
    curve.max.insert(curve.max.begin(), shell_overlap(ground.process, t, pairs.smallest()));
    curve.q99.insert(curve.q99.begin(), shell_overlap(ground.process, t, pairs.quantile(0.01)));
    curve.q50.insert(curve.q50.begin(), shell_overlap(ground.process, t, pairs.quantile(0.5)));
  }
  for (std::size_t i = 0; i < curve.t.size(); ++i)
    results["overlap"].push_back({{"plan", plan.name},
                                  {"data", plan.data.data},
                                  {"t", curve.t[i]},
                                  {"max", curve.max[i]},
                                  {"q99", curve.q99[i]},
                                  {"q50", curve.q50[i]}});
  return curve;
}

std::vector<Baseline> baselines_of(const StudyGround& ground) {
  GaussianScore gaussian(ground.train, ground.process, ground.empirical->device());
  const ProbeReference& reference = ground.supervised;
  const ProbeRecords records = probe(gaussian, reference);
  const auto n = static_cast<std::size_t>(reference.states.count());
  std::vector<Baseline> baselines;
  for (std::size_t level = 0; level < reference.states.t.size(); ++level)
    baselines.push_back({.t = reference.states.t[level],
                         .zero = mean(std::span(reference.norm).subspan(level * n, n)),
                         .gaussian = mean(records.at_level(level)),
                         .trace = mean(std::span(reference.trace).subspan(level * n, n))});
  return baselines;
}

Json examine(const StudyPlan& plan, const StudyGround& ground, ScoreModel& model, const std::string& network,
             std::uint64_t seed, RunFolder& folder, Progress& progress) {
  const Json which = {{"plan", plan.name}, {"data", plan.data.data}, {"model", network}, {"seed", seed}};
  const auto row = [&](const Json& more) {
    Json all = which;
    all.update(more);
    return all;
  };
  Json examined = {{"shells", Json::array()}, {"restart", Json::array()}};
  Progress::Stage stage(progress, fmt::format("examine {} on {}, seed {}", network, plan.label, seed));
  const Generation generation = generate(model, ground, std::max(plan.samples, plan.probes));

  for (const ShellCurve& curve :
       {shell_curve("sup", ground.supervised),
        shell_curve("ext", reference_at(generation.trajectory, *ground.empirical, ground.process))})
    for (std::size_t i = 0; i < curve.t.size(); ++i)
      examined["shells"].push_back(row({{"t", curve.t[i]},
                                        {"source", curve.source},
                                        {"q05", curve.q05[i]},
                                        {"q50", curve.q50[i]},
                                        {"q95", curve.q95[i]}}));
  const RestartCurve restart = restart_curve(plan, ground, model, progress);
  for (std::size_t i = 0; i < restart.t.size(); ++i)
    examined["restart"].push_back(row({{"t", restart.t[i]},
                                       {"ratio", restart.recovered[i]},
                                       {"se", share_error(restart.recovered[i], restart.n)},
                                       {"copied", restart.copied[i]},
                                       {"n", restart.n}}));

  const auto d = static_cast<std::size_t>(ground.train.dimension());
  const auto n = static_cast<std::size_t>(plan.samples);
  const std::span<const float> images = std::span(generation.images).first(n * d);
  const NeighbourMeasures generated = neighbour_measures(images, *ground.empirical);
  std::vector<float> unseen(n * d);
  for (std::size_t i = 0; i < n; ++i)
    ground.held_out.copy_float(static_cast<std::int64_t>(i), std::span(unseen).subspan(i * d, d));
  const NeighbourMeasures held_out = neighbour_measures(unseen, *ground.empirical);
  const std::vector<float> features = ground.features->features(images);
  const std::vector<double> levels = {0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0};
  examined["samples"] = row(
      {{"frechet", frechet_distance(feature_moments(features, ground.features->dimension()), ground.held_out_moments)},
       {"features", fmt::format("{} principal components of held-out images ({:.1f} % of their variance)",
                                ground.features->dimension(), 100.0 * ground.features->explained())},
       {"n", plan.samples},
       {"memorised", fractions_json(memorised_fractions(generated))},
       {"memorised_heldout", fractions_json(memorised_fractions(held_out))},
       {"m_quantiles", quantiles(generated.m, levels)}});
  examined["root_m"] = square_roots(generated.m);
  examined["root_m_held_out"] = square_roots(held_out.m);
  if (seed == plan.seeds.front())
    write_nearest_gallery(gallery_of(plan, folder), images, ground.train, generated.nearest, 4);
  io::write_npz(
      folder.arrays() / fmt::format("{}-seed{}_samples.npz", plan.name, seed),
      {io::view_of("samples", images, {plan.samples, ground.train.height, ground.train.width, ground.train.channels}),
       io::view_of("nearest", generated.nearest, {plan.samples}), io::view_of("m", generated.m, {plan.samples}),
       io::view_of("nearest_over_second", generated.nearest_over_second, {plan.samples})});
  return examined;
}

Findings findings_of(const Json& examined, const StudyPlan& plan, const RunFolder& folder) {
  Findings findings;
  findings.supervised.source = "sup";
  findings.extrapolated.source = "ext";
  for (const Json& row : examined.at("shells")) {
    ShellCurve& curve = row.at("source") == "sup" ? findings.supervised : findings.extrapolated;
    curve.t.push_back(row.at("t"));
    curve.q05.push_back(row.at("q05"));
    curve.q50.push_back(row.at("q50"));
    curve.q95.push_back(row.at("q95"));
  }
  for (const Json& row : examined.at("restart")) {
    findings.restart.t.push_back(row.at("t"));
    findings.restart.recovered.push_back(row.at("ratio"));
    findings.restart.copied.push_back(row.at("copied"));
    findings.restart.n = row.at("n");
  }
  findings.samples = examined.at("samples");
  findings.root_m = examined.at("root_m").get<std::vector<double>>();
  findings.root_m_held_out = examined.at("root_m_held_out").get<std::vector<double>>();
  findings.gallery = gallery_of(plan, folder);
  return findings;
}

}  // namespace tweedie::experiments
