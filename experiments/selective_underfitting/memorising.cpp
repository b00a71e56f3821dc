#include <cmath>
#include <numeric>

#include "diffusion/data/png.h"
#include "diffusion/memorization.h"
#include "diffusion/statistics.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/studies.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// Two networks trained on as many images, none in common, and their samples from the same noise; or such pairs of
/// several seeds as one.
struct Pair {
  std::int64_t count = 0;  // images of each half
  std::uint64_t seed = 0;
  MemorisedEstimates samples, held_out;
  Estimate between, to_nearest;   // correlations: of the two networks' samples, of samples with their nearest
  Estimate nearest_of_two;        // of the two samples' nearest training images: what chance likeness makes
  Estimate r_star;                // median of the first network's states at t = 0.2; of one seed without an interval
  std::filesystem::path gallery;  // of the first seed
};

Pair of_all_seeds(const std::vector<Pair>& pairs) {
  const auto memorised = [&](MemorisedEstimates Pair::*member) {
    std::vector<MemorisedEstimates> each;
    for (const Pair& pair : pairs) each.push_back(pair.*member);
    return over_seeds(std::span<const MemorisedEstimates>(each));
  };
  Pair all = pairs.front();
  all.samples = memorised(&Pair::samples);
  all.held_out = memorised(&Pair::held_out);
  for (const auto member : {&Pair::between, &Pair::to_nearest, &Pair::nearest_of_two, &Pair::r_star})
    all.*member = over_seeds(pairs, member);
  return all;
}

Json json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}, {"n", estimate.n}};
}

std::vector<float> images_at(const data::ImageSet& images, std::span<const std::int64_t> indices) {
  const auto d = static_cast<std::size_t>(images.dimension());
  std::vector<float> values(indices.size() * d);
  for (std::size_t i = 0; i < indices.size(); ++i) images.copy_float(indices[i], std::span(values).subspan(i * d, d));
  return values;
}

data::ImageSet half_of(const data::ImageSet& images, std::int64_t count, int half) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(count));
  std::iota(positions.begin(), positions.end(), half * count);
  return images.selected(positions);
}

/// The network of one half and seed.
NetworkPlan plan_of(NetworkPlan plan, std::int64_t count, int half, std::uint64_t seed) {
  // Weights that no other seed's networks begin with.
  plan.seed = seed + (half == 0 ? 0 : std::uint64_t{1} << 32);
  plan.name = fmt::format("memorising-n{}-{}-seed{}", count, half == 0 ? "first" : "second", seed);
  return plan;
}

Pair study_pair(const data::ImageSet& images, const data::ImageSet& held_out, std::int64_t count,
                const NetworkPlan& plan, const StudyContext& context, std::uint64_t seed) {
  Pair pair{.count = count, .seed = seed};
  const std::int64_t samples = context.scale.samples;
  const Shape shape{images.height, images.width, images.channels};
  std::vector<float> made[2], nearest[2];
  NeighbourMeasures measures[2];
  for (int half = 0; half < 2; ++half) {
    const data::ImageSet train = half_of(images, count, half);
    const auto model = trained_network(plan_of(plan, count, half, seed), train, context);
    const Generation generation = generate(*model, shape, samples, seed);
    const EmpiricalScore empirical(train, context.device);
    made[half] = generation.images;
    measures[half] = neighbour_measures(made[half], empirical);
    nearest[half] = images_at(train, measures[half].nearest);
    if (half == 1) continue;
    pair.samples = memorised_estimates(measures[half]);
    std::vector<std::int64_t> first(static_cast<std::size_t>(samples));
    std::iota(first.begin(), first.end(), 0);
    pair.held_out = memorised_estimates(neighbour_measures(images_at(held_out, first), empirical));
    const ProbeReference reference = reference_at(generation.trajectory, empirical, model->process());
    const auto n = static_cast<std::size_t>(samples);
    const double median = quantile(std::span(reference.r_star).subspan(n, n), 0.5);  // the second level is t = 0.2
    pair.r_star = {.value = median, .low = median, .high = median, .n = samples};
  }
  const std::vector<double> centre = mean_image(images);
  pair.between = bootstrap_mean(paired_correlation(made[0], made[1], centre));
  pair.nearest_of_two = bootstrap_mean(paired_correlation(nearest[0], nearest[1], centre));
  pair.to_nearest = bootstrap_mean(paired_correlation(made[0], nearest[0], centre));
  if (seed != context.seeds.front()) return pair;
  // Rows: nearest training image of the first half, first network, second network, nearest of the second half.
  const std::size_t columns = std::min<std::size_t>(16, static_cast<std::size_t>(samples));
  const std::size_t row = columns * static_cast<std::size_t>(shape.count());
  std::vector<float> tiles;
  for (const auto* values : {&nearest[0], &made[0], &made[1], &nearest[1]})
    tiles.insert(tiles.end(), values->begin(), values->begin() + static_cast<std::ptrdiff_t>(row));
  pair.gallery = context.folder.images() / fmt::format("memorising_n{}.png", count);
  data::write_png(pair.gallery,
                  data::image_grid(tiles, shape[0], shape[1], shape[2],
                                   {.columns = static_cast<std::int64_t>(columns), .padding = 1, .scale = 3}));
  return pair;
}

Json row_of(const Pair& pair, const std::string& data, const std::string& network) {
  return {{"data", data},
          {"images", pair.count},
          {"network", network},
          {"seed", pair.seed},
          {"m_third", json_of(pair.samples.m_third)},
          {"sqrt_m_third", json_of(pair.samples.sqrt_m_third)},
          {"sqrt_m_half", json_of(pair.samples.sqrt_m_half)},
          {"nn_ratio_third", json_of(pair.samples.nn_ratio_third)},
          {"sqrt_m_third_heldout", json_of(pair.held_out.sqrt_m_third)},
          {"nn_ratio_third_heldout", json_of(pair.held_out.nn_ratio_third)},
          {"correlation_to_nearest", json_of(pair.to_nearest)},
          {"correlation_between_networks", json_of(pair.between)},
          {"correlation_between_nearest", json_of(pair.nearest_of_two)},
          {"r_star_median", pair.r_star.value}};
}

void add_page(Report& report, const std::vector<Pair>& pairs, const std::string& network, std::int64_t steps,
              std::size_t seeds) {
  report.section("A memorising control, and whether two networks learn one function");
  report.text(fmt::format(
      "{} trained for {} steps on each of two disjoint sets of as many images, from different initial weights; samples "
      "of both from the same noise. Few images: each network must copy its own, and the two disagree. Many: samples "
      "are "
      "new and, where both have learnt one function, agree (Kadkhodaie et al., arXiv 2310.02557). Correlations are "
      "taken after the mean image is removed. Seeds (of weights, data order and noise): {}; intervals: {}.",
      network, steps, seeds, interval_meaning(seeds, "bootstrap over samples")));
  Table table{.columns = {"images", "√m < 1/3", "same, held-out", "nearest/second < 1/3", "same, held-out",
                          "sample with its nearest", "between the two networks", "between their nearest images",
                          "median r*, t = 0.2"},
              .rows = {}};
  Series copied{.label = "copied (√m < 1/3)", .x = {}, .y = {}},
      baseline{.label = "the same of held-out images", .x = {}, .y = {}, .draw = Draw::dashed},
      between{.label = "correlation of the two networks' samples", .x = {}, .y = {}},
      chance{.label = "correlation of their nearest images", .x = {}, .y = {}, .draw = Draw::dashed};
  const auto put = [](Series& series, double x, const Estimate& estimate) {
    series.x.push_back(x);
    series.y.push_back(estimate.value);
    series.low.push_back(estimate.low);
    series.high.push_back(estimate.high);
  };
  for (const Pair& pair : pairs) {
    table.rows.push_back({fmt::format("{}", pair.count), with_interval(pair.samples.sqrt_m_third),
                          with_interval(pair.held_out.sqrt_m_third), with_interval(pair.samples.nn_ratio_third),
                          with_interval(pair.held_out.nn_ratio_third), with_interval(pair.to_nearest),
                          with_interval(pair.between), with_interval(pair.nearest_of_two),
                          fmt::format("{:.3f}", pair.r_star.value)});
    const auto x = static_cast<double>(pair.count);
    put(copied, x, pair.samples.sqrt_m_third);
    put(baseline, x, pair.held_out.sqrt_m_third);
    put(between, x, pair.between);
    put(chance, x, pair.nearest_of_two);
  }
  report.plot(
      {.panels = {{.title = "Copies",
                   .x = {.label = "training images", .logarithmic = true},
                   .y = {.label = "share of samples", .from = -0.02, .to = 1.02},
                   .series = {copied, baseline}},
                  {.title = "Agreement from the same noise",
                   .x = {.label = "training images", .logarithmic = true},
                   .y = {.label = "mean-removed correlation", .to = 1.02},
                   .series = {between, chance}}}},
      "Left: the share of samples that are copies of training images. Right: likeness of two networks that have "
      "no training image in common.");
  report.table(table, "With 95 % intervals.");
  for (const Pair& pair : pairs)
    report.gallery({picture_from_file(pair.gallery,
                                      "Rows: nearest image of the first set, first network, second network (same "
                                      "noise), nearest image of the second set.")},
                   fmt::format("{} training images each, seed {}", pair.count, pair.seed));
}

}  // namespace

StudyPage memorising_study(const StudyContext& context) {
  DataOptions data_options = context.data;
  if (data_options.resolution == 0) data_options.resolution = 16;
  const std::vector<std::int64_t> counts =
      context.quick ? std::vector<std::int64_t>{16, 2000} : std::vector<std::int64_t>{16, 100, 1000, 10000};
  data_options.subset = 2 * counts.back();
  const TrainingData data = load_training_data(data_options);
  if (!data.held_out) throw UsageError("--study memorising: these data have no test split");
  const std::int64_t steps = context.scale.steps;
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.model.network = context.scale.network;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  const std::vector<std::uint64_t>& seeds = context.seeds;
  std::vector<std::vector<Pair>> by_seed;  // one list a count
  std::vector<Pair> pairs;                 // one a count, over seeds
  std::vector<data::ImageSet> halves;
  for (const std::int64_t count : counts)
    for (const int half : {0, 1}) halves.push_back(half_of(data.train, count, half));
  std::vector<NetworkTask> tasks;
  for (std::size_t i = 0; i < halves.size(); ++i)
    for (const std::uint64_t seed : seeds)
      tasks.push_back({plan_of(plan, counts[i / 2], static_cast<int>(i % 2), seed), &halves[i]});
  train_networks(tasks, context);
  Progress::Stage stage(context.progress, "memorising control",
                        static_cast<std::int64_t>(counts.size() * seeds.size()));
  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  for (const std::int64_t count : counts) {
    std::vector<Pair>& each = by_seed.emplace_back();
    for (const std::uint64_t seed : seeds) {
      each.push_back(study_pair(data.train, *data.held_out, count, plan, context, seed));
      page.results.push_back(row_of(each.back(), context.data.data, plan.model.network));
      stage.advance();
    }
    pairs.push_back(of_all_seeds(each));
  }

  const Pair &few = pairs.front(), &many = pairs.back();
  const Estimate& copies = few.samples.sqrt_m_third;
  page.claims.push_back(claim_over_seeds(fmt::format("A network trained long on {} images copies them", few.count),
                                         "share of samples with √m < 1/3", copies,
                                         verdict_of(copies.low > 0.5, copies.high < 0.5), seeds.size(),
                                         fmt::format("held-out images {:.3f}", few.held_out.sqrt_m_third.value)));
  std::vector<Estimate> of_many, of_few;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    of_many.push_back(by_seed.back()[i].between);
    of_few.push_back(by_seed.front()[i].between);
  }
  const Estimate more = difference_over_seeds(of_many, of_few);
  page.claims.push_back(claim_over_seeds(
      fmt::format("Trained on {} images, two networks without a common image make samples of one noise that are more "
                  "alike than trained on {}",
                  many.count, few.count),
      "correlation of paired samples, difference", more, verdict_of(more.low > 0.0, more.high < 0.0), seeds.size(),
      fmt::format("{:.3f} on {} images (their nearest images {:.3f}), {:.3f} on {} ({:.3f})", many.between.value,
                  many.count, many.nearest_of_two.value, few.between.value, few.count, few.nearest_of_two.value)));
  page.add = [pairs, network = plan.model.network, steps, count = seeds.size()](Report& report) {
    add_page(report, pairs, network, steps, count);
  };
  return page;
}

}  // namespace tweedie::experiments
