#include <algorithm>
#include <cmath>
#include <limits>

#include "diffusion/data/png.h"
#include "diffusion/empirical_score_model.h"
#include "diffusion/frechet.h"
#include "diffusion/guided_score.h"
#include "diffusion/memorization.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/studies.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// |s^c - s^0|/sqrt(d) of each sample, level by level: what a class tells one score model at some states.
struct Differences {
  std::string model, region;
  std::vector<std::vector<double>> by_level;
};

Differences differences(std::string name, ScoreModel& model, const ProbeStates& states, const Tensor& classes,
                        const Tensor& none) {
  const NoGrad guard;
  Differences result{.model = std::move(name), .region = states.region, .by_level = {}};
  const auto n = static_cast<std::size_t>(states.count());
  for (std::size_t level = 0; level < states.t.size(); ++level) {
    const std::vector<double> levels(n, states.t[level]);
    const std::vector<float> with = model.predict(states.z[level], levels, View::x0, classes).to_host(),
                             without = model.predict(states.z[level], levels, View::x0, none).to_host();
    const double alpha = model.process().alpha(states.t[level]), sigma = model.process().sigma(states.t[level]);
    const std::size_t d = with.size() / n;
    auto& norms = result.by_level.emplace_back();
    for (std::size_t i = 0; i < n; ++i) {
      double squares = 0.0;
      for (std::size_t j = i * d; j < (i + 1) * d; ++j) squares += std::pow(double{with[j]} - double{without[j]}, 2);
      norms.push_back(alpha / (sigma * sigma) * std::sqrt(squares / static_cast<double>(d)));
    }
  }
  return result;
}

Tensor labels_of(const std::vector<std::int64_t>& labels, Device device) {
  return Tensor::from_host(std::span<const std::int64_t>(labels), {static_cast<std::int64_t>(labels.size())}, device);
}

/// Samples under one strength of guidance.
struct Guided {
  double guidance = 1.0, frechet = 0.0;
  MemorisedEstimates memorised;
};

Series series_of(const Differences& found, const std::vector<double>& t, const std::string& label) {
  Series series{.label = label, .x = t, .y = {}};
  for (const std::vector<double>& norms : found.by_level) {
    const Estimate estimate = bootstrap_mean(norms);
    const bool shown = estimate.value > 1e-4;  // 0 has no place on a logarithmic axis
    series.y.push_back(shown ? estimate.value : std::numeric_limits<double>::quiet_NaN());
    series.low.push_back(shown ? std::max(estimate.low, 1e-4) : 1e-4);
    series.high.push_back(shown ? estimate.high : 1e-4);
  }
  return series;
}

}  // namespace

StudyPage guidance_study(const StudyContext& context) {
  DataOptions data_options = context.data;
  if (data_options.resolution == 0) data_options.resolution = 16;
  if (data_options.subset == 0) data_options.subset = context.quick ? 2000 : 20000;
  const TrainingData data = load_training_data(data_options);
  const std::int64_t steps = context.scale.steps, samples = context.scale.samples;
  if (data.train.classes == 0 || !data.held_out || data.train.count < samples)
    throw UsageError(
        fmt::format("--study guidance: needs data with labels, held-out images and {} training images", samples));
  NetworkPlan plan{.name = "guidance", .model = {}, .optimisation = study_optimisation(steps), .seed = context.seed};
  plan.model.network = context.scale.network;
  plan.model.conditional = true;
  plan.model.label_drop = 0.1;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  const std::shared_ptr<NetworkScore> network = trained_network(plan, data.train, context);
  EmpiricalScoreModel exact(EmpiricalScore(data.train, context.device), network->process());
  const Shape shape{data.train.height, data.train.width, data.train.channels};
  const auto n = static_cast<std::size_t>(samples);

  const Progress::Stage stage(context.progress, "guidance");
  const std::vector<std::int64_t> classes(data.train.labels.begin(),
                                          data.train.labels.begin() + static_cast<std::ptrdiff_t>(n));
  const Tensor own = labels_of(classes, context.device),
               no_class = labels_of(std::vector<std::int64_t>(n, *network->null_label()), context.device),
               all = labels_of(std::vector<std::int64_t>(n, -1), context.device);
  const ProbeStates supervised = noised_states("sup", *on_device(data.train, context.device), network->process(),
                                               probe_levels(), samples, context.seed);
  const Generation generation = generate(*network, shape, samples, context.seed, 1.0, own);
  const std::vector<Differences> found = {differences("exact", exact, supervised, own, all),
                                          differences("exact", exact, generation.trajectory, own, all),
                                          differences("learned", *network, supervised, own, no_class),
                                          differences("learned", *network, generation.trajectory, own, no_class)};

  const PrincipalFeatures features(*data.held_out, 64);
  const FeatureMoments moments = feature_moments(features.features(*data.held_out), features.dimension());
  std::vector<Guided> guided;
  std::vector<float> tiles;
  const auto shown = std::min<std::int64_t>(samples, 16) * shape.count();
  for (const double guidance : {0.0, 1.0, 2.0, 4.0}) {
    GuidedScore model(network, *network->null_label(), guidance);
    const std::vector<float> images = generate(model, shape, samples, context.seed, 1.0, own).images;
    guided.push_back(
        {.guidance = guidance,
         .frechet = frechet_distance(feature_moments(features.features(images), features.dimension()), moments),
         .memorised = memorised_estimates(neighbour_measures(images, exact.score()))});
    tiles.insert(tiles.end(), images.begin(), images.begin() + static_cast<std::ptrdiff_t>(shown));
  }

  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  const std::vector<double>& t = probe_levels();
  for (const Differences& each : found)
    for (std::size_t level = 0; level < t.size(); ++level) {
      const Estimate estimate = bootstrap_mean(each.by_level[level]);
      page.results.push_back({{"model", each.model},
                              {"region", each.region},
                              {"t", t[level]},
                              {"difference", estimate.value},
                              {"low", estimate.low},
                              {"high", estimate.high},
                              {"n", samples}});
    }
  for (const Guided& each : guided)
    page.results.push_back({{"guidance", each.guidance},
                            {"frechet", each.frechet},
                            {"sqrt_m_third", each.memorised.sqrt_m_third.value},
                            {"n", samples}});
  const auto claim = [&](const std::string& statement, const Estimate& estimate, bool holds, bool fails,
                         const std::string& effect) {
    page.claims.push_back({.statement = statement,
                           .verdict = holds   ? Verdict::reproduced
                                      : fails ? Verdict::contradicted
                                              : Verdict::not_at_this_scale,
                           .effect_name = effect,
                           .effect = estimate.value,
                           .low = estimate.low,
                           .high = estimate.high,
                           .n = samples,
                           .seeds = 1,
                           .note = "bootstrap over states"});
  };
  const Estimate silent = bootstrap_mean(found[0].by_level[4]), speaks = bootstrap_mean(found[3].by_level[4]);
  claim("Guidance paradox: on supervised states the class tells the exact score nothing (t = 0.5)", silent,
        silent.high<0.01, silent.low> 0.01, "|s(class) − s(none)|/√d of the exact score");
  claim("Guidance paradox: on its own path the class tells the network much (t = 0.5)", speaks,
        speaks.low > std::max(10.0 * silent.high, 0.01), speaks.high < silent.low,
        "|s(class) − s(none)|/√d of the network");
  const std::filesystem::path file = context.folder.images() / "guidance.png";
  data::write_png(file, data::image_grid(tiles, shape[0], shape[1], shape[2],
                                         {.columns = std::min<std::int64_t>(samples, 16), .padding = 1, .scale = 3}));
  page.add = [=, count = data.train.count, name = plan.model.network](Report& report) {
    report.section("Guidance paradox: the class speaks only where the network extrapolates");
    report.text(fmt::format(
        "{} trained on {} labelled images for {} steps, the label dropped one time in ten. |s(class) − s(no class)|/√d "
        "over {} states: of the exact score of the training set and of the network, on noised training images and on "
        "the path of the network's own class-conditional sampler. Where the nearest image decides, its class adds "
        "nothing to the exact score; values below 1e-4 are left out. Hollow marks: arXiv 2510.01378, ImageNet latents, "
        "divided by √4096.",
        name, count, steps, samples));
    report.plot({.panels = {{.title = "What the class adds to the score",
                             .x = {.label = "noise level t"},
                             .y = {.label = "|s(class) − s(none)|/√d", .logarithmic = true},
                             .series = {series_of(found[0], t, "exact, supervised states"),
                                        series_of(found[1], t, "exact, sampler's states"),
                                        series_of(found[2], t, "network, supervised states"),
                                        series_of(found[3], t, "network, sampler's states"),
                                        {.label = "paper: network, sampler's states",
                                         .x = {0.01, 0.2, 0.6, 0.8, 0.9},
                                         .y = {1500.0 / 64, 90.0 / 64, 5.2 / 64, 1.1 / 64, 0.26 / 64},
                                         .draw = Draw::reference,
                                         .colour = 3}}}},
                 .panel_width = 760,
                 .panel_height = 460},
                "Means with 95 % bootstrap intervals over states.");
    Table table{.columns = {"guidance", "Frechet distance", "√m < 1/3", "nearest/second < 1/3"}, .rows = {}};
    for (const Guided& each : guided)
      table.rows.push_back({fmt::format("{}", each.guidance), fmt::format("{:.4g}", each.frechet),
                            fmt::format("{:.3f}", each.memorised.sqrt_m_third.value),
                            fmt::format("{:.3f}", each.memorised.nn_ratio_third.value)});
    report.table(table, "Samples by the strength of guidance: 0 none of the class, 1 the conditional model.");
    report.gallery({picture_from_file(file, "Rows: guidance 0, 1, 2, 4; columns: one noise and one class each.")}, "");
  };
  return page;
}

}  // namespace tweedie::experiments
