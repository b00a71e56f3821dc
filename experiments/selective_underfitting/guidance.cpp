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

/// |s^c - s^0|/sqrt(d) by level, with an interval over states: what a class tells one score model at some states.
struct Differences {
  std::string model, region;
  std::vector<Estimate> by_level;
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
    std::vector<double> norms;
    for (std::size_t i = 0; i < n; ++i) {
      double squares = 0.0;
      for (std::size_t j = i * d; j < (i + 1) * d; ++j) squares += std::pow(double{with[j]} - double{without[j]}, 2);
      norms.push_back(alpha / (sigma * sigma) * std::sqrt(squares / static_cast<double>(d)));
    }
    result.by_level.push_back(bootstrap_mean(norms));
  }
  return result;
}

Tensor labels_of(const std::vector<std::int64_t>& labels, Device device) {
  return Tensor::from_host(std::span<const std::int64_t>(labels), {static_cast<std::int64_t>(labels.size())}, device);
}

/// Samples under one strength of guidance.
struct Guided {
  double guidance = 1.0;
  Estimate frechet;  // of one seed without an interval
  MemorisedEstimates memorised;
};

/// All that one seed's network shows, or those of several seeds as one.
struct Shown {
  std::vector<Differences> found;  // exact and learned, each on supervised states and on the sampler's
  std::vector<Guided> guided;
};

Shown of_all_seeds(const std::vector<Shown>& by_seed) {
  Shown all = by_seed.front();
  for (std::size_t i = 0; i < all.found.size(); ++i)
    for (std::size_t level = 0; level < all.found[i].by_level.size(); ++level)
      all.found[i].by_level[level] =
          over_seeds(by_seed, [&](const Shown& shown) { return shown.found[i].by_level[level]; });
  for (std::size_t i = 0; i < all.guided.size(); ++i) {
    all.guided[i].frechet = over_seeds(by_seed, [&](const Shown& shown) { return shown.guided[i].frechet; });
    std::vector<MemorisedEstimates> each;
    for (const Shown& shown : by_seed) each.push_back(shown.guided[i].memorised);
    all.guided[i].memorised = over_seeds(std::span<const MemorisedEstimates>(each));
  }
  return all;
}

/// Held-out images in the principal components in which samples are judged.
struct Judge {
  explicit Judge(const data::ImageSet& held_out)
      : features(held_out, 64), moments(feature_moments(features.features(held_out), features.dimension())) {}
  double frechet(const std::vector<float>& images) const {
    return frechet_distance(feature_moments(features.features(images), features.dimension()), moments);
  }
  PrincipalFeatures features;
  FeatureMoments moments;
};

constexpr double strengths[] = {0.0, 1.0, 2.0, 4.0};

std::filesystem::path gallery_of(const StudyContext& context) {
  return context.folder.images() / "guidance.png";
}

NetworkPlan plan_of(NetworkPlan plan, std::uint64_t seed) {
  plan.seed = seed;
  plan.name = fmt::format("guidance-seed{}", seed);
  return plan;
}

/// Trains the network of one seed and asks it and the exact score; the first seed's samples make the gallery.
Shown show(const NetworkPlan& plan, const data::ImageSet& train, const Judge& judge, std::uint64_t seed,
           const StudyContext& context) {
  const std::int64_t samples = context.scale.samples;
  const std::shared_ptr<NetworkScore> network = trained_network(plan_of(plan, seed), train, context);
  EmpiricalScoreModel exact(EmpiricalScore(train, context.device), network->process());
  const Shape shape{train.height, train.width, train.channels};
  const auto n = static_cast<std::size_t>(samples);
  const std::vector<std::int64_t> classes(train.labels.begin(), train.labels.begin() + static_cast<std::ptrdiff_t>(n));
  const Tensor own = labels_of(classes, context.device),
               no_class = labels_of(std::vector<std::int64_t>(n, *network->null_label()), context.device),
               all = labels_of(std::vector<std::int64_t>(n, -1), context.device);
  const ProbeStates supervised =
      noised_states("sup", *on_device(train, context.device), network->process(), probe_levels(), samples, seed);
  const Generation generation = generate(*network, shape, samples, seed, 1.0, own);
  Shown shown{.found = {differences("exact", exact, supervised, own, all),
                        differences("exact", exact, generation.trajectory, own, all),
                        differences("learned", *network, supervised, own, no_class),
                        differences("learned", *network, generation.trajectory, own, no_class)},
              .guided = {}};
  std::vector<float> tiles;
  const std::int64_t columns = std::min<std::int64_t>(samples, 16);
  for (const double guidance : strengths) {
    GuidedScore model(network, *network->null_label(), guidance);
    const std::vector<float> images = generate(model, shape, samples, seed, 1.0, own).images;
    const double frechet = judge.frechet(images);
    shown.guided.push_back({.guidance = guidance,
                            .frechet = {.value = frechet, .low = frechet, .high = frechet, .n = samples},
                            .memorised = memorised_estimates(neighbour_measures(images, exact.score()))});
    tiles.insert(tiles.end(), images.begin(), images.begin() + static_cast<std::ptrdiff_t>(columns * shape.count()));
  }
  if (seed == context.seeds.front())
    data::write_png(gallery_of(context), data::image_grid(tiles, shape[0], shape[1], shape[2],
                                                          {.columns = columns, .padding = 1, .scale = 3}));
  return shown;
}

void add_rows(Json& rows, const Shown& shown, std::uint64_t seed, std::int64_t samples) {
  for (const Differences& each : shown.found)
    for (std::size_t level = 0; level < each.by_level.size(); ++level)
      rows.push_back({{"model", each.model},
                      {"region", each.region},
                      {"seed", seed},
                      {"t", probe_levels()[level]},
                      {"difference", each.by_level[level].value},
                      {"low", each.by_level[level].low},
                      {"high", each.by_level[level].high},
                      {"n", samples}});
  for (const Guided& each : shown.guided)
    rows.push_back({{"guidance", each.guidance},
                    {"seed", seed},
                    {"frechet", each.frechet.value},
                    {"sqrt_m_third", each.memorised.sqrt_m_third.value},
                    {"n", samples}});
}

Series series_of(const Differences& found, const std::string& label) {
  Series series{.label = label, .x = probe_levels(), .y = {}};
  for (const Estimate& estimate : found.by_level) {
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
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.model.network = context.scale.network;
  plan.model.conditional = true;
  plan.model.label_drop = 0.1;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";

  const Judge judge(*data.held_out);
  const std::size_t seeds = context.seeds.size();
  std::vector<Shown> by_seed;
  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  std::vector<NetworkTask> tasks;
  for (const std::uint64_t seed : context.seeds) tasks.push_back({plan_of(plan, seed), &data.train});
  train_networks(tasks, context);
  Progress::Stage stage(context.progress, "guidance", static_cast<std::int64_t>(seeds));
  for (const std::uint64_t seed : context.seeds) {
    by_seed.push_back(show(plan, data.train, judge, seed, context));
    add_rows(page.results, by_seed.back(), seed, samples);
    stage.advance();
  }
  const Shown shown = of_all_seeds(by_seed);
  const Estimate &silent = shown.found[0].by_level[4], &speaks = shown.found[3].by_level[4];
  page.claims = {
      claim_over_seeds("Guidance paradox: on supervised states the class tells the exact score nothing (t = 0.5)",
                       "|s(class) − s(none)|/√d of the exact score", silent,
                       verdict_of(silent.high<0.01, silent.low> 0.01), seeds, "", "bootstrap over states"),
      claim_over_seeds("Guidance paradox: on its own path the class tells the network much (t = 0.5)",
                       "|s(class) − s(none)|/√d of the network", speaks,
                       verdict_of(speaks.low > std::max(10.0 * silent.high, 0.01), speaks.high < silent.low), seeds, "",
                       "bootstrap over states")};
  page.add = [=, file = gallery_of(context), count = data.train.count, name = plan.model.network](Report& report) {
    report.section("Guidance paradox: the class speaks only where the network extrapolates");
    report.text(fmt::format(
        "{} trained on {} labelled images for {} steps, the label dropped one time in ten. |s(class) − s(no class)|/√d "
        "over {} states: of the exact score of the training set and of the network, on noised training images and on "
        "the path of the network's own class-conditional sampler; {} seeds, of weights, data order and noise. Where "
        "the nearest image decides, its class adds "
        "nothing to the exact score; values below 1e-4 are left out. Hollow marks: arXiv 2510.01378, ImageNet latents, "
        "divided by √4096.",
        name, count, steps, samples, seeds));
    report.plot({.panels = {{.title = "What the class adds to the score",
                             .x = {.label = "noise level t"},
                             .y = {.label = "|s(class) − s(none)|/√d", .logarithmic = true},
                             .series = {series_of(shown.found[0], "exact, supervised states"),
                                        series_of(shown.found[1], "exact, sampler's states"),
                                        series_of(shown.found[2], "network, supervised states"),
                                        series_of(shown.found[3], "network, sampler's states"),
                                        {.label = "paper: network, sampler's states",
                                         .x = {0.01, 0.2, 0.6, 0.8, 0.9},
                                         .y = {1500.0 / 64, 90.0 / 64, 5.2 / 64, 1.1 / 64, 0.26 / 64},
                                         .draw = Draw::reference,
                                         .colour = 3}}}},
                 .panel_width = 760,
                 .panel_height = 460},
                fmt::format("Means; bars: {}.", interval_meaning(seeds, "95 % bootstrap over states")));
    Table table{.columns = {"guidance", "Frechet distance", "√m < 1/3", "nearest/second < 1/3"}, .rows = {}};
    for (const Guided& each : shown.guided)
      table.rows.push_back({fmt::format("{}", each.guidance),
                            seeds > 1 ? with_interval(each.frechet) : fmt::format("{:.4g}", each.frechet.value),
                            with_interval(each.memorised.sqrt_m_third), with_interval(each.memorised.nn_ratio_third)});
    report.table(table,
                 fmt::format("Samples by the strength of guidance: 0 none of the class, 1 the conditional model. {}.",
                             interval_meaning(seeds, "Bootstrap over samples")));
    report.gallery({picture_from_file(file, "Rows: guidance 0, 1, 2, 4; columns: one noise and one class each.")},
                   "Samples of the first seed");
  };
  return page;
}

}  // namespace tweedie::experiments
