#include <algorithm>
#include <cmath>

#include "diffusion/data/load.h"
#include "diffusion/gaussian_mixture.h"
#include "diffusion/statistics.h"
#include "experiments/common/jobs.h"
#include "experiments/common/progress.h"
#include "experiments/selective_underfitting/studies.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t dimension = 20, points = 100, followed = 256;

/// Parts of the training at which the paper gives errors, and its errors there (20,000 iterations of an MLP 10 x 1000).
const std::vector<double> paper_parts = {0.0, 0.05, 0.125, 0.25, 0.5, 1.0};
struct Curve {
  const char* key;
  const char* label;
  std::vector<double> paper;
};
const std::vector<Curve> curves = {
    {"sup_to_empirical", "supervised, to the exact score of the set", {0.98, 0.83, 0.59, 0.34, 0.22, 0.17}},
    {"sup_to_truth", "supervised, to the true score", {0.48, 0.42, 0.36, 0.335, 0.326, 0.347}},
    {"ext_to_truth", "extrapolated, to the true score", {0.56, 0.43, 0.28, 0.15, 0.09, 0.083}},
    {"ext_to_empirical", "extrapolated, to the exact score of the set", {}}};

struct Ground {
  data::ImageSet train;
  std::shared_ptr<const EmpiricalScore> empirical;
  std::shared_ptr<GaussianMixtureScore> truth;
  ProbeReference to_empirical, to_truth;  // of the supervised states
};

Ground lay(const StudyContext& context) {
  const data::ImageSet train = data::load_data({.name = fmt::format("gaussian:{}", dimension), .subset = points});
  const Process process = Process::linear();
  Ground ground{
      .train = train,
      .empirical = std::make_shared<EmpiricalScore>(train, context.device),
      .truth = std::make_shared<GaussianMixtureScore>(
          std::vector<GaussianComponent>{{1.0, std::vector<double>(dimension), {1.0}}}, process, context.device),
      .to_empirical = {},
      .to_truth = {}};
  const ProbeStates states =
      noised_states("sup", *on_device(train, context.device), process, probe_levels(), points, context.seed);
  ground.to_empirical = reference_at(states, *ground.empirical, process);
  ground.to_truth = reference_at(states, *ground.truth);
  return ground;
}

Json look_at(NetworkScore& model, const Ground& ground, std::uint64_t seed) {
  const Generation generation = generate(model, {1, 1, dimension}, followed, seed);
  Json out;
  const auto note = [&](const char* key, const ProbeReference& reference) {
    out[key] = probe(model, reference).v_error_by_sample();
  };
  note("sup_to_empirical", ground.to_empirical);
  note("sup_to_truth", ground.to_truth);
  note("ext_to_empirical", reference_at(generation.trajectory, *ground.empirical, model.process()));
  note("ext_to_truth", reference_at(generation.trajectory, *ground.truth));
  return out;
}

/// Errors by sample at one look, one list a seed.
std::vector<std::vector<double>> errors_at(const std::vector<std::vector<Json>>& runs, std::size_t look,
                                           const std::string& key) {
  std::vector<std::vector<double>> lists;
  for (const auto& looks : runs) lists.push_back(looks[look].at(key).get<std::vector<double>>());
  return lists;
}

double centre_of(const std::vector<std::vector<double>>& lists) {
  std::vector<double> means;
  for (const auto& list : lists) means.push_back(mean(list));
  return mean(means);
}

double error_of(const std::vector<std::vector<double>>& lists) {
  std::vector<double> means;
  for (const auto& list : lists) means.push_back(mean(list));
  return means.size() > 1 ? standard_error(means) : standard_error(lists.front());
}

Claim claim_of(const std::string& statement, const std::string& effect, const Change& change, bool rise, std::int64_t n,
               std::size_t seeds) {
  return claim_over_seeds(statement, effect, {.value = change.ratio, .low = change.low, .high = change.high, .n = n},
                          trend(change, rise), seeds, "", "bootstrap over evaluation points");
}

std::vector<Claim> claims_of(const std::vector<std::vector<Json>>& runs) {
  const std::size_t last = runs.front().size() - 1, seeds = runs.size();
  const auto at = [&](std::size_t look, const char* key) { return errors_at(runs, look, key); };
  std::size_t lowest = 1;
  for (std::size_t look = 1; look <= last; ++look)
    if (centre_of(at(look, "sup_to_truth")) < centre_of(at(lowest, "sup_to_truth"))) lowest = look;
  std::vector<Claim> claims = {
      claim_of("Gaussian toy: the supervised error to the exact score of the set falls with training",
               "error, last / first", change_of(at(0, "sup_to_empirical"), at(last, "sup_to_empirical")), false, points,
               seeds),
      claim_of("Gaussian toy: the extrapolated error to the true score falls with training", "error, last / first",
               change_of(at(0, "ext_to_truth"), at(last, "ext_to_truth")), false, followed, seeds),
      claim_of(
          "Gaussian toy: at the end the network is nearer to the truth where it extrapolates than where it is "
          "supervised",
          "extrapolated / supervised error to the truth",
          // Other states: the ratio of means, over seeds or over bootstrapped states of equal number.
          [&] {
            auto ext = at(last, "ext_to_truth"), sup = at(last, "sup_to_truth");
            for (auto& list : ext) list.resize(points);
            return change_of(sup, ext);
          }(),
          false, points, seeds)};
  if (lowest < last)
    claims.push_back(claim_of("Gaussian toy: the supervised error to the true score turns up late",
                              "error, last / lowest", change_of(at(lowest, "sup_to_truth"), at(last, "sup_to_truth")),
                              true, points, seeds));
  else
    claims.push_back({.statement = "Gaussian toy: the supervised error to the true score turns up late",
                      .verdict = Verdict::not_at_this_scale,
                      .effect_name = "error, last / lowest",
                      .effect = 1.0,
                      .low = 1.0,
                      .high = 1.0,
                      .n = points,
                      .seeds = static_cast<int>(seeds),
                      .note = "the last look is the lowest"});
  return claims;
}

}  // namespace

StudyPage gaussian_study(const StudyContext& context) {
  const std::int64_t steps = context.scale.steps;
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.model.network = context.scale.network;
  plan.model.view = "v";
  plan.optimisation.learning_rate = context.quick ? 2e-3 : 4e-3;
  plan.optimisation.batch = context.scale.batch;
  std::vector<std::int64_t> looks;
  for (const double part : paper_parts) looks.push_back(std::llround(part * static_cast<double>(steps)));
  const Ground ground = lay(context);

  const std::size_t seeds = context.seeds.size();
  std::vector<std::vector<Json>> runs;
  Progress::Stage stage(context.progress, "gaussian toy", static_cast<std::int64_t>(seeds));
  const auto follow = [&](std::int64_t i) {
    const std::uint64_t seed = context.seeds[static_cast<std::size_t>(i)];
    NetworkPlan own = plan;
    own.seed = seed;
    own.name = fmt::format("gaussian-seed{}", seed);
    return train_and_look(own, ground.train, looks, context,
                          [&](NetworkScore& model, std::int64_t) { return look_at(model, ground, context.seed); });
  };
  run_jobs(static_cast<std::int64_t>(seeds), context.device, follow, [&](std::int64_t) { stage.advance(); });
  for (std::size_t i = 0; i < seeds; ++i) runs.push_back(follow(static_cast<std::int64_t>(i)));  // read back

  StudyPage page{.results = Json::array(), .claims = claims_of(runs), .add = {}};
  std::vector<Series> series;
  for (std::size_t c = 0; c < curves.size(); ++c) {
    Series ours{.label = curves[c].label, .spread = Spread::error_bars, .colour = static_cast<int>(c)};
    for (std::size_t look = 0; look < looks.size(); ++look) {
      const auto lists = errors_at(runs, look, curves[c].key);
      const double centre = centre_of(lists), se = error_of(lists);
      page.results.push_back({{"quantity", curves[c].key},
                              {"step", looks[look]},
                              {"part", paper_parts[look]},
                              {"error", centre},
                              {"se", se},
                              {"seeds", seeds},
                              {"n", lists.front().size()}});
      ours.x.push_back(paper_parts[look]);
      ours.y.push_back(centre);
      ours.low.push_back(centre - se);
      ours.high.push_back(centre + se);
    }
    series.push_back(ours);
    if (!curves[c].paper.empty())
      series.push_back({.label = std::string("paper: ") + curves[c].label,
                        .x = paper_parts,
                        .y = curves[c].paper,
                        .draw = Draw::reference,
                        .colour = static_cast<int>(c)});
  }
  page.add = [series, network = plan.model.network, steps, seeds](Report& report) {
    report.section("Gaussian toy: which score is learnt where");
    report.text(fmt::format(
        "{} points of N(0, I) in {} dimensions; {} trained for {} steps, {} seeds. The true score, -z/(α²+σ²), and the "
        "exact score of the {} points are both known. Errors (t²/(1 − t)²/d)|s − s'|², those of the velocity, averaged "
        "over t = 0.1, …, 0.9; averaged "
        "weights. Hollow marks: arXiv 2510.01378, an MLP of 10 x 1000 for 20,000 iterations, at the same part of its "
        "training.",
        points, dimension, network, steps, seeds, points));
    report.plot({.panels = {{.title = "Which score is learnt where",
                             .x = {.label = "part of the training"},
                             .y = {.label = "score error, velocity units per dimension", .from = 0.0},
                             .series = series}},
                 .panel_width = 760,
                 .panel_height = 460},
                seeds > 1 ? "Means over seeds with their standard errors." : "With standard errors over states.");
  };
  return page;
}

}  // namespace tweedie::experiments
