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

/// Two networks trained on as many images, none in common, and their samples from the same noise.
struct Pair {
  std::int64_t count = 0;  // images of each half
  MemorisedEstimates samples, held_out;
  Estimate between, to_nearest;  // correlations: of the two networks' samples, of samples with their nearest
  Estimate nearest_of_two;       // of the two samples' nearest training images: what chance likeness makes
  double r_star = 0.0;           // median of the first network's states at t = 0.2
  std::filesystem::path gallery;
};

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

Pair study_pair(const data::ImageSet& images, const data::ImageSet& held_out, std::int64_t count, NetworkPlan plan,
                const StudyContext& context, std::int64_t samples) {
  Pair pair{.count = count};
  const Shape shape{images.height, images.width, images.channels};
  std::vector<float> made[2], nearest[2];
  NeighbourMeasures measures[2];
  for (int half = 0; half < 2; ++half) {
    const data::ImageSet train = half_of(images, count, half);
    plan.seed = context.seed + static_cast<std::uint64_t>(half);
    plan.name = fmt::format("memorising-n{}-{}", count, half == 0 ? "first" : "second");
    const auto model = trained_network(plan, train, context);
    const Generation generation = generate(*model, shape, samples, context.seed);
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
    pair.r_star = quantile(std::span(reference.r_star).subspan(n, n), 0.5);  // the second level is t = 0.2
  }
  const std::vector<double> centre = mean_image(images);
  pair.between = bootstrap_mean(paired_correlation(made[0], made[1], centre));
  pair.nearest_of_two = bootstrap_mean(paired_correlation(nearest[0], nearest[1], centre));
  pair.to_nearest = bootstrap_mean(paired_correlation(made[0], nearest[0], centre));
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

std::string with_interval(const Estimate& estimate) {
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", estimate.value, estimate.low, estimate.high);
}

Claim claim_of(std::string statement, std::string effect, const Estimate& estimate, bool holds, bool fails,
               std::string note) {
  return {.statement = std::move(statement),
          .verdict = holds   ? Verdict::reproduced
                     : fails ? Verdict::contradicted
                             : Verdict::not_at_this_scale,
          .effect_name = std::move(effect),
          .effect = estimate.value,
          .low = estimate.low,
          .high = estimate.high,
          .n = estimate.n,
          .seeds = 1,
          .note = std::move(note)};
}

void add_page(Report& report, const std::vector<Pair>& pairs, const std::string& network, std::int64_t steps) {
  report.section("A memorising control, and whether two networks learn one function");
  report.text(fmt::format(
      "{} trained for {} steps on each of two disjoint sets of as many images, from different initial weights; samples "
      "of both from the same noise. Few images: each network must copy its own, and the two disagree. Many: samples "
      "are "
      "new and, where both have learnt one function, agree (Kadkhodaie et al., arXiv 2310.02557). Correlations are "
      "taken after the mean image is removed; intervals are bootstrapped over samples.",
      network, steps));
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
                          fmt::format("{:.3f}", pair.r_star)});
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
                   fmt::format("{} training images each", pair.count));
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
  const std::int64_t steps = context.scale.steps, samples = context.scale.samples;
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.model.network = context.scale.network;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  std::vector<Pair> pairs;
  Progress::Stage stage(context.progress, "memorising control", static_cast<std::int64_t>(counts.size()));
  for (const std::int64_t count : counts) {
    pairs.push_back(study_pair(data.train, *data.held_out, count, plan, context, samples));
    stage.advance();
  }

  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  for (const Pair& pair : pairs)
    page.results.push_back({{"data", context.data.data},
                            {"images", pair.count},
                            {"network", plan.model.network},
                            {"m_third", json_of(pair.samples.m_third)},
                            {"sqrt_m_third", json_of(pair.samples.sqrt_m_third)},
                            {"sqrt_m_half", json_of(pair.samples.sqrt_m_half)},
                            {"nn_ratio_third", json_of(pair.samples.nn_ratio_third)},
                            {"sqrt_m_third_heldout", json_of(pair.held_out.sqrt_m_third)},
                            {"nn_ratio_third_heldout", json_of(pair.held_out.nn_ratio_third)},
                            {"correlation_to_nearest", json_of(pair.to_nearest)},
                            {"correlation_between_networks", json_of(pair.between)},
                            {"correlation_between_nearest", json_of(pair.nearest_of_two)},
                            {"r_star_median", pair.r_star}});
  const Pair &few = pairs.front(), &many = pairs.back();
  const Estimate& copies = few.samples.sqrt_m_third;
  page.claims.push_back(claim_of(fmt::format("A network trained long on {} images copies them", few.count),
                                 "share of samples with √m < 1/3", copies, copies.low > 0.5, copies.high < 0.5,
                                 fmt::format("held-out images {:.3f}", few.held_out.sqrt_m_third.value)));
  page.claims.push_back(
      claim_of(fmt::format("Trained on {} images, two networks without a common image make like samples of one noise",
                           many.count),
               "correlation of paired samples", many.between, many.between.low > few.between.high,
               many.between.high < few.between.low,
               fmt::format("on {} images {:.3f}; their nearest images {:.3f}", few.count, few.between.value,
                           many.nearest_of_two.value)));
  page.add = [pairs, network = plan.model.network, steps](Report& report) { add_page(report, pairs, network, steps); };
  return page;
}

}  // namespace tweedie::experiments
