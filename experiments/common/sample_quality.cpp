#include "experiments/common/sample_quality.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>

#include "diffusion/frechet.h"
#include "diffusion/kernel_distance.h"
#include "diffusion/memorization.h"
#include "diffusion/precision_recall.h"
#include "experiments/common/report.h"
#include "experiments/common/training.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

Json json_of(const MemorisedEstimates& estimates) {
  return {{"m_third", json_of(estimates.m_third)},
          {"sqrt_m_third", json_of(estimates.sqrt_m_third)},
          {"sqrt_m_half", json_of(estimates.sqrt_m_half)},
          {"nn_ratio_third", json_of(estimates.nn_ratio_third)},
          {"correlation", json_of(estimates.correlation)}};
}

std::string text_of(const Json& estimate) {
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", estimate.at("value").get<double>(), estimate.at("low").get<double>(),
                     estimate.at("high").get<double>());
}

Json distances(std::span<const float> samples, const data::ImageSet& held_out, const FeatureSpace& space,
               std::uint64_t seed) {
  const auto n = static_cast<std::int64_t>(samples.size()) / held_out.dimension();
  const std::vector<float> ours = space.features(samples), theirs = space.features(held_out);
  const std::int64_t k = space.dimension(), equal = std::min(n, held_out.count);
  Json out = {{"features", space.describe()},
              {"n_held_out", held_out.count},
              {"frechet", frechet_distance(feature_moments(ours, k), feature_moments(theirs, k))},
              {"kernel", kernel_distance(ours, theirs, k)}};
  const auto first = static_cast<std::size_t>(equal * k);
  const PrecisionRecall shares =
      precision_recall(std::span(theirs).first(first), std::span(ours).first(first), k, 3, {.seed = seed});
  out["precision"] = json_of(shares.precision);
  out["recall"] = json_of(shares.recall);
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = n; size >= 16 && sizes.size() < 4; size /= 2) sizes.insert(sizes.begin(), size / 2);
  for (const DistancesBySize& row : distances_by_size(ours, theirs, k, sizes, 10, seed))
    out["by_size"].push_back({{"n", row.n},
                              {"frechet", row.frechet},
                              {"frechet_se", row.frechet_se},
                              {"kernel", row.kernel},
                              {"kernel_se", row.kernel_se}});
  return out;
}

}  // namespace

Json sample_quality(std::span<const float> samples, const TrainingData& data, std::uint64_t seed, Device device,
                    std::shared_ptr<const FeatureSpace> space) {
  const std::int64_t d = data.train.dimension(), n = static_cast<std::int64_t>(samples.size()) / d;
  require(samples.size() % static_cast<std::size_t>(d) == 0, "sample quality: {} values are no whole images of {}",
          samples.size(), d);
  if (n < least_judged)
    throw UsageError(fmt::format("{} samples are too few to be judged; at least {} are needed", n, least_judged));
  const EmpiricalScore reference(data.train, device);
  Json out = {{"n", n}, {"n_training", data.train.count}};
  if (data.held_out) {
    if (space == nullptr) space = std::make_shared<PrincipalFeatures>(*data.held_out, 64);
    out.update(distances(samples, *data.held_out, *space, seed));
  }
  out["memorised"] = json_of(memorised_estimates(neighbour_measures(samples, reference), {}, {.seed = seed}));
  if (data.held_out && data.held_out->count >= 2) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(std::min(n, data.held_out->count)));
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<float> unseen = data.held_out->selected(positions).to_float();
    out["memorised_heldout"] = json_of(memorised_estimates(neighbour_measures(unseen, reference), {}, {.seed = seed}));
  }
  return out;
}

void add_sample_quality(Report& report, const Json& quality) {
  report.section("Quality, diversity, novelty");
  const auto n = quality.at("n").get<std::int64_t>();
  if (quality.contains("frechet")) {
    report.table(
        {.columns = {"measure", "value"},
         .rows = {{"Frechet distance", fmt::format("{:.4g}", quality.at("frechet").get<double>())},
                  {"kernel distance (unbiased)", fmt::format("{:.4g}", quality.at("kernel").get<double>())},
                  {"precision, k = 3", text_of(quality.at("precision"))},
                  {"recall, k = 3", text_of(quality.at("recall"))}}},
        fmt::format("{} samples against {} held-out images in {}; precision and recall on equal counts, 95 % "
                    "bootstrap intervals.",
                    n, quality.at("n_held_out").get<std::int64_t>(), quality.at("features").get<std::string>()));
    const auto panel = [&](const char* title, const std::string& key) {
      Series series{.label = "", .x = {}, .y = {}};
      for (const Json& row : quality.at("by_size")) {
        const double value = row.at(key), se = row.at(key + "_se");
        series.x.push_back(row.at("n"));
        series.y.push_back(value);
        series.low.push_back(value - se);
        series.high.push_back(value + se);
      }
      return Panel{.title = title,
                   .x = {.label = "samples", .logarithmic = true},
                   .y = {.label = "distance"},
                   .series = {series},
                   .legend = Legend::none};
    };
    if (quality.contains("by_size"))
      report.plot({.panels = {panel("Frechet: biased upwards", "frechet"), panel("Kernel: unbiased", "kernel")}},
                  "Both distances by the number of samples: means and standard errors over 10 random subsets each.");
  }
  Table table{.columns = {"criterion", "samples"}, .rows = {}};
  const bool held_out = quality.contains("memorised_heldout");
  if (held_out) table.columns.emplace_back("held-out images");
  const std::pair<const char*, const char*> names[] = {{"m_third", "m < 1/3"},
                                                       {"sqrt_m_third", "√m < 1/3"},
                                                       {"sqrt_m_half", "√m < 1/2"},
                                                       {"nn_ratio_third", "nearest / second nearest < 1/3"},
                                                       {"correlation", "mean-removed correlation with the nearest"}};
  for (const auto& [key, label] : names) {
    std::vector<std::string> row = {label, text_of(quality.at("memorised").at(key))};
    if (held_out) row.push_back(text_of(quality.at("memorised_heldout").at(key)));
    table.rows.push_back(row);
  }
  report.table(table,
               fmt::format("What each criterion of memorisation says of the samples, against {} training images; "
                           "95 % bootstrap intervals.",
                           quality.at("n_training").get<std::int64_t>()));
}

}  // namespace tweedie::experiments
