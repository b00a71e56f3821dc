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

/// Samples of one hybrid, or of one of each seed: how many are copies.
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

/// The cells of one seed's network, by both rules.
struct Cells {
  std::vector<Cell> by_time, by_shell;
};

std::vector<Cell> of_all_seeds(const std::vector<Cells>& by_seed, std::vector<Cell> Cells::*rule) {
  std::vector<Cell> all = by_seed.front().*rule;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<MemorisedEstimates> each;
    for (const Cells& cells : by_seed) each.push_back((cells.*rule)[i].memorised);
    all[i].memorised = over_seeds(std::span<const MemorisedEstimates>(each));
  }
  return all;
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

void add_rows(Json& rows, const std::vector<Cell>& cells, const char* rule, std::uint64_t seed) {
  for (const Cell& cell : cells) {
    Json row = {{"switch", rule}, {"at", cell.at}, {"seed", seed}};
    const std::pair<const char*, const Estimate*> measures[] = {{"m_third", &cell.memorised.m_third},
                                                                {"sqrt_m_third", &cell.memorised.sqrt_m_third},
                                                                {"sqrt_m_half", &cell.memorised.sqrt_m_half},
                                                                {"nn_ratio_third", &cell.memorised.nn_ratio_third}};
    for (const auto& [name, estimate] : measures)
      row[name] = {{"value", estimate->value}, {"low", estimate->low}, {"high", estimate->high}, {"n", estimate->n}};
    rows.push_back(row);
  }
}

Claim copies_claim(const std::vector<Cell>& cells, double at, bool copied, std::size_t seeds) {
  const Cell* cell = nullptr;
  for (const Cell& each : cells)
    if (std::abs(each.at - at) < 1e-9) cell = &each;
  require(cell != nullptr, "hybrid study: no samples switched at {}", at);
  const Estimate& share = cell->memorised.sqrt_m_third;
  const bool holds = copied ? share.low > 0.5 : share.high < 0.5, fails = copied ? share.high < 0.5 : share.low > 0.5;
  return claim_over_seeds(fmt::format("The exact score up to reversed time {}, the network after: samples are {}", at,
                                      copied ? "copies" : "still novel"),
                          "share of samples with √m < 1/3", share, verdict_of(holds, fails), seeds,
                          "half of the samples is the line");
}

NetworkPlan plan_of(NetworkPlan plan, std::uint64_t seed) {
  plan.seed = seed;
  plan.name = fmt::format("hybrid-seed{}", seed);
  return plan;
}

}  // namespace

StudyPage hybrid_study(const StudyContext& context) {
  DataOptions data_options = context.data;
  if (data_options.resolution == 0) data_options.resolution = 16;
  if (data_options.subset == 0) data_options.subset = context.quick ? 1000 : 10000;
  const TrainingData data = load_training_data(data_options);
  const std::int64_t steps = context.scale.steps, samples = context.scale.samples;
  NetworkPlan plan{.name = "", .model = {}, .optimisation = study_optimisation(steps), .seed = 0};
  plan.model.network = context.scale.network;
  plan.optimisation.batch = context.scale.batch;
  plan.optimisation.learning_rate = 2e-3;
  plan.optimisation.schedule = "cosine";
  const auto empirical = std::make_shared<EmpiricalScore>(data.train, context.device);
  const Shape shape{data.train.height, data.train.width, data.train.channels};

  const std::vector<double> reversed = {0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0};
  const std::vector<double> limits = {1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 4.0};
  std::vector<float> time_tiles, shell_tiles;  // of the first seed
  std::vector<Cells> by_seed;
  std::vector<NetworkTask> tasks;
  for (const std::uint64_t seed : context.seeds) tasks.push_back({plan_of(plan, seed), &data.train});
  train_networks(tasks, context);
  Progress::Stage stage(context.progress, "hybrid sampler",
                        static_cast<std::int64_t>((reversed.size() + limits.size()) * context.seeds.size()));
  StudyPage page{.results = Json::array(), .claims = {}, .add = {}};
  for (const std::uint64_t seed : context.seeds) {
    const std::shared_ptr<ScoreModel> network = trained_network(plan_of(plan, seed), data.train, context);
    const auto exact =
        std::make_shared<EmpiricalScoreModel>(EmpiricalScore(data.train, context.device), network->process());
    Cells& cells = by_seed.emplace_back();
    std::vector<float> others;
    const bool first = seed == context.seeds.front();
    for (const double at : reversed) {
      // The network alone at 0, the exact score alone at 1; its times are multiples of 0.05, the switch lies between.
      HybridScore hybrid = HybridScore::by_time(exact, network, at >= 1.0 ? 0.0 : 1.0 - at + 0.025);
      cells.by_time.push_back(cell_of(at, hybrid, *empirical, shape, samples, seed, first ? time_tiles : others));
      stage.advance();
    }
    for (const double limit : limits) {
      HybridScore hybrid = HybridScore::by_shell(exact, network, empirical, limit);
      cells.by_shell.push_back(cell_of(limit, hybrid, *empirical, shape, samples, seed, first ? shell_tiles : others));
      stage.advance();
    }
    add_rows(page.results, cells.by_time, "reversed time", seed);
    add_rows(page.results, cells.by_shell, "r*", seed);
  }
  const std::size_t seeds = by_seed.size();
  const std::vector<Cell> by_time = of_all_seeds(by_seed, &Cells::by_time),
                          by_shell = of_all_seeds(by_seed, &Cells::by_shell);
  double held_out = std::numeric_limits<double>::quiet_NaN();
  if (data.held_out && data.held_out->count >= samples) {
    std::vector<std::int64_t> first(static_cast<std::size_t>(samples));
    std::iota(first.begin(), first.end(), 0);
    held_out =
        memorised_fractions(neighbour_measures(data.held_out->selected(first).to_float(), *empirical)).sqrt_m_third;
  }

  page.claims = {copies_claim(by_time, 0.2, false, seeds), copies_claim(by_time, 0.4, true, seeds)};
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
        "network inside. {} samples from the same noise each, 20 Heun steps; {} seeds, of weights, data order and "
        "noise; "
        "bars: {}.",
        network_name, count, steps, samples, seeds, interval_meaning(seeds, "95 % bootstrap over samples")));
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
                   "Samples of the first seed by the place of the switch");
  };
  return page;
}

}  // namespace tweedie::experiments
