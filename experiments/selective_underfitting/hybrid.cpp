#include <cmath>
#include <limits>
#include <numeric>

#include "diffusion/data/png.h"
#include "diffusion/empirical_score_model.h"
#include "diffusion/hybrid_score.h"
#include "diffusion/memorization.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/studies.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// Samples of one hybrid: how many are copies.
struct Cell {
  double at =
      0.0;  // reversed time at which the network takes over; or the limit of r* above which the exact score acts
  MemorisedEstimates memorised;
};

Cell cell_of(double at, ScoreModel& model, const EmpiricalScore& empirical, const Shape& shape, std::int64_t samples,
             std::uint64_t seed, std::vector<float>& gallery) {
  const Generation generation = generate(model, shape, samples, seed);
  const auto shown = static_cast<std::ptrdiff_t>(std::min<std::int64_t>(samples, 16) * shape.count());
  gallery.insert(gallery.end(), generation.images.begin(), generation.images.begin() + shown);
  return {.at = at, .memorised = memorised_estimates(neighbour_measures(generation.images, empirical))};
}

Series series_of(const std::vector<Cell>& cells, const std::string& label,
                 const Estimate MemorisedEstimates::*measure) {
  Series series{.label = label, .x = {}, .y = {}};
  for (const Cell& cell : cells) {
    const Estimate& estimate = cell.memorised.*measure;
    series.x.push_back(cell.at);
    series.y.push_back(estimate.value);
    series.low.push_back(estimate.low);
    series.high.push_back(estimate.high);
  }
  return series;
}

Json rows_of(const std::vector<Cell>& cells, const char* rule) {
  Json rows = Json::array();
  for (const Cell& cell : cells) {
    Json row = {{"switch", rule}, {"at", cell.at}};
    const std::pair<const char*, const Estimate*> measures[] = {{"m_third", &cell.memorised.m_third},
                                                                {"sqrt_m_third", &cell.memorised.sqrt_m_third},
                                                                {"sqrt_m_half", &cell.memorised.sqrt_m_half},
                                                                {"nn_ratio_third", &cell.memorised.nn_ratio_third}};
    for (const auto& [name, estimate] : measures)
      row[name] = {{"value", estimate->value}, {"low", estimate->low}, {"high", estimate->high}, {"n", estimate->n}};
    rows.push_back(row);
  }
  return rows;
}

Claim copies_claim(const std::vector<Cell>& cells, double at, bool copied) {
  const Cell* cell = nullptr;
  for (const Cell& each : cells)
    if (std::abs(each.at - at) < 1e-9) cell = &each;
  require(cell != nullptr, "hybrid study: no samples switched at {}", at);
  const Estimate& share = cell->memorised.sqrt_m_third;
  const bool holds = copied ? share.low > 0.5 : share.high < 0.5, fails = copied ? share.high < 0.5 : share.low > 0.5;
  return {.statement = fmt::format("The exact score up to reversed time {}, the network after: samples are {}", at,
                                   copied ? "copies" : "still novel"),
          .verdict = holds   ? Verdict::reproduced
                     : fails ? Verdict::contradicted
                             : Verdict::not_at_this_scale,
          .effect_name = "share of samples with √m < 1/3",
          .effect = share.value,
          .low = share.low,
          .high = share.high,
          .n = share.n,
          .seeds = 1,
          .note = "half of the samples is the line; bootstrap over samples"};
}

}  // namespace

StudyPage hybrid_study(const StudyContext& context) {
  DataOptions data_options = context.data;
  if (data_options.resolution == 0) data_options.resolution = 16;
  if (data_options.subset == 0) data_options.subset = context.quick ? 1000 : 10000;
  const TrainingData data = load_training_data(data_options);
  const std::int64_t steps = context.scale.steps, samples = context.scale.samples;
  NetworkPlan plan{.name = "hybrid", .model = {}, .optimisation = study_optimisation(steps), .seed = context.seed};
  plan.model.network = context.scale.network;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  const std::shared_ptr<ScoreModel> network = trained_network(plan, data.train, context);
  const auto empirical = std::make_shared<EmpiricalScore>(data.train, context.device);
  const auto exact =
      std::make_shared<EmpiricalScoreModel>(EmpiricalScore(data.train, context.device), network->process());
  const Shape shape{data.train.height, data.train.width, data.train.channels};

  const std::vector<double> reversed = {0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0};
  const std::vector<double> limits = {1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 4.0};
  std::vector<Cell> by_time, by_shell;
  std::vector<float> time_tiles, shell_tiles;
  Progress::Stage stage(context.progress, "hybrid sampler", static_cast<std::int64_t>(reversed.size() + limits.size()));
  for (const double at : reversed) {
    // The network alone at 0, the exact score alone at 1; its times are multiples of 0.05, the switch lies between.
    HybridScore hybrid = HybridScore::by_time(exact, network, at >= 1.0 ? 0.0 : 1.0 - at + 0.025);
    by_time.push_back(cell_of(at, hybrid, *empirical, shape, samples, context.seed, time_tiles));
    stage.advance();
  }
  for (const double limit : limits) {
    HybridScore hybrid = HybridScore::by_shell(exact, network, empirical, limit);
    by_shell.push_back(cell_of(limit, hybrid, *empirical, shape, samples, context.seed, shell_tiles));
    stage.advance();
  }
  double held_out = std::numeric_limits<double>::quiet_NaN();
  if (data.held_out && data.held_out->count >= samples) {
    std::vector<std::int64_t> first(static_cast<std::size_t>(samples));
    std::iota(first.begin(), first.end(), 0);
    held_out =
        memorised_fractions(neighbour_measures(data.held_out->selected(first).to_float(), *empirical)).sqrt_m_third;
  }

  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  for (const Json& row : rows_of(by_time, "reversed time")) page.results.push_back(row);
  for (const Json& row : rows_of(by_shell, "r*")) page.results.push_back(row);
  page.claims = {copies_claim(by_time, 0.2, false), copies_claim(by_time, 0.4, true)};
  const auto columns = std::min<std::int64_t>(samples, 16);
  const auto gallery = [&](const char* name, const std::vector<float>& tiles) {
    std::filesystem::path file = context.folder.images() / name;
    data::write_png(
        file, data::image_grid(tiles, shape[0], shape[1], shape[2], {.columns = columns, .padding = 1, .scale = 3}));
    return file;
  };
  const auto time_file = gallery("hybrid_by_time.png", time_tiles),
             shell_file = gallery("hybrid_by_shell.png", shell_tiles);
  page.add = [=, count = data.train.count, network_name = plan.model.network](Report& report) {
    report.section("Hybrid sampler: exact score first, network after");
    report.text(fmt::format(
        "{} trained on {} images for {} steps. Left: the exact score of the training set acts up to a reversed time "
        "(1 − t), the network after it (Bertrand et al., arXiv 2506.03719: novel when switched by .2, copies by .4). "
        "Right: the exact score acts wherever r* is above a limit, outside the shells that training supervises, and "
        "the "
        "network inside. {} samples from the same noise each, 20 Heun steps; bars are 95 % bootstrap intervals.",
        network_name, count, steps, samples));
    const auto panel = [&](const std::string& title, const std::string& x, const std::vector<Cell>& cells) {
      Panel result{.title = title,
                   .x = {.label = x},
                   .y = {.label = "share of samples", .from = -0.02, .to = 1.02},
                   .series = {series_of(cells, "√m < 1/3", &MemorisedEstimates::sqrt_m_third),
                              series_of(cells, "nearest/second < 1/3", &MemorisedEstimates::nn_ratio_third)}};
      if (std::isfinite(held_out)) result.horizontal.push_back({.at = held_out, .label = "held-out, √m < 1/3"});
      return result;
    };
    Panel times = panel("Switched by time", "reversed time of the switch", by_time);
    times.vertical = {{.at = 0.2, .label = "novel"}, {.at = 0.4, .label = "copies"}};
    Panel shells = panel("Switched by r*", "limit of r*", by_shell);
    shells.x.logarithmic = true;
    report.plot({.panels = {times, shells}}, "Share of samples that are copies of training images.");
    report.gallery({picture_from_file(time_file,
                                      "Rows: reversed time of the switch 0, .05, .1, .15, .2, .25, .3, "
                                      ".35, .4, .5, .6, .8, 1; columns: one noise each."),
                    picture_from_file(shell_file, "Rows: limit of r* 1, 1.05, 1.1, 1.2, 1.5, 2, 4.")},
                   "Samples by the place of the switch");
  };
  return page;
}

}  // namespace tweedie::experiments
