#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/page.h"
#include "experiments/selective_underfitting/studies.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {
namespace {

struct Options {
  RunOptions run;
  ComputeOptions compute;
  StudyPlan plan;
  int seed_count = 1;
  std::vector<std::string> studies = {"contrastive"};
  StudySize size;
  bool has(const std::string& study) const { return std::ranges::find(studies, study) != studies.end(); }
};

/// The full size: the networks on --data, meant for a GPU.
StudyPlan default_plan() {
  StudyPlan plan;
  plan.data.resolution = 32;
  plan.networks = {"unet-xs", "unet-s", "unet-m"};
  plan.checkpoints = {1000, 3000, 10000, 30000};
  plan.optimisation.checkpoint_every = 1000;
  plan.optimisation.log_every = 100;
  plan.probes = 1000;
  plan.samples = 2000;
  return plan;
}

/// Minutes on two cores: two widths on mosaics of --data's tiles with three paired seeds, where the contrastive trend
/// can show, and one network on the plain images for pictures and restarts.
std::vector<StudyPlan> quick_plans(const StudyPlan& chosen) {
  StudyPlan mosaic = chosen;
  mosaic.title = "Mosaics of 4 x 4-pixel tiles: error over training and width";
  mosaic.data.data = "mosaic:4";
  mosaic.data.resolution = 16;
  mosaic.data.subset = 1000;
  mosaic.model.view = "x0";
  mosaic.networks = {"unet:8x1", "unet:16x1"};
  mosaic.seeds = {0, 1, 2};
  mosaic.checkpoints = {200, 400, 600};
  mosaic.optimisation.batch = 64;
  mosaic.optimisation.held_out = 128;
  mosaic.optimisation.log_every = 100;
  mosaic.optimisation.checkpoint_every = 200;
  mosaic.probes = 128;
  mosaic.samples = 256;
  mosaic.restarts = 128;
  StudyPlan plain = mosaic;
  plain.title = "Fashion-MNIST at 16 x 16: pictures, restarts, nearest neighbours";
  plain.data.data = chosen.data.data;
  plain.data.subset = chosen.data.subset > 0 ? chosen.data.subset : 2000;
  plain.model.view = "v";
  plain.networks = {"unet:16x1"};
  plain.seeds = {0};
  plain.checkpoints = {400, 800};
  plain.optimisation.checkpoint_every = 400;
  plain.samples = 512;
  return {mosaic, plain};
}

void check(const Options& options) {
  for (const std::string& name : options.studies)
    if (name != "contrastive" && study_named(name) == nullptr)
      throw UsageError(fmt::format("--study {}: expected contrastive, {}", name, known_studies()));
}

void check(const StudyPlan& plan) {
  if (plan.networks.empty() || plan.seeds.empty() || plan.checkpoints.empty())
    throw UsageError("--networks, --seeds and --checkpoints each need at least one value");
  for (std::size_t i = 0; i < plan.checkpoints.size(); ++i)
    if (plan.checkpoints[i] < 1 || (i > 0 && plan.checkpoints[i] <= plan.checkpoints[i - 1]))
      throw UsageError("--checkpoints: expected rising positive steps, e.g. 200,400,800");
}

StudyOutcome run_study(const StudyPlan& plan, const Options& options, Device device, RunFolder& folder,
                       Progress& progress, nlohmann::ordered_json& results) {
  StudyOutcome outcome{.plan = plan};
  std::shared_ptr<StudyGround> ground;
  {
    const Progress::Stage stage(progress, "exact scores of " + plan.data.data);
    ground = std::make_shared<StudyGround>(lay_ground(plan, device, options.compute.seed));
  }
  Progress::Stage stage(progress, plan.data.data, static_cast<std::int64_t>(plan.networks.size() * plan.seeds.size()));
  for (const std::string& network : plan.networks)
    for (const std::uint64_t seed : plan.seeds) {
      for (auto& look : follow_training(plan, *ground, network, seed, device, folder, progress))
        outcome.looks.push_back(std::move(look));
      stage.advance();
    }
  outcome.examined = plan.networks.back();
  const auto model = load_last(plan, outcome.examined, plan.seeds.front(), folder, device);
  outcome.findings = examine(plan, *ground, *model, outcome.examined, plan.seeds.front(), folder, progress, results);
  for (const auto& row : contrastive_rows(outcome.looks)) results["contrastive"].push_back(row);
  const auto n = static_cast<std::size_t>(plan.probes);
  for (std::size_t level = 0; level < probe_levels().size(); ++level) {
    double norm = 0.0, trace = 0.0;
    for (std::size_t i = level * n; i < (level + 1) * n; ++i) {
      norm += ground->supervised.norm[i] / static_cast<double>(n);
      trace += ground->supervised.trace[i] / static_cast<double>(n);
    }
    outcome.norm_by_level.push_back(norm);
    outcome.trace_by_level.push_back(trace);
  }
  return outcome;
}

std::string summary_of(const std::vector<Claim>& claims) {
  return "Does a better diffusion model come closer to the empirical score everywhere, or only where training "
         "supervises "
         "it (selective underfitting, Song et al., arXiv 2510.01378)?" +
         tally_of(claims);
}

void run(CommandLine& line, Options options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  check(options);
  options.plan.title = options.plan.data.data;
  for (int seed = 0; seed < options.seed_count; ++seed)
    options.plan.seeds.push_back(options.compute.seed + static_cast<std::uint64_t>(seed));
  std::vector<StudyPlan> plans;
  if (options.has("contrastive")) plans = options.run.quick ? quick_plans(options.plan) : std::vector{options.plan};
  auto resolved = nlohmann::ordered_json::array();
  for (const StudyPlan& plan : plans) {
    check(plan);
    resolved.push_back({{"data", plan.data.data},
                        {"resolution", plan.data.resolution},
                        {"subset", plan.data.subset},
                        {"view", plan.model.view},
                        {"networks", plan.networks},
                        {"seeds", plan.seeds},
                        {"checkpoints", plan.checkpoints},
                        {"batch", plan.optimisation.batch},
                        {"learning_rate", plan.optimisation.learning_rate},
                        {"probes", plan.probes},
                        {"samples", plan.samples},
                        {"restarts", plan.restarts}});
  }
  // The plan's resolution is a GPU's, unless it was asked for.
  DataOptions study_data = options.plan.data;
  if (options.run.quick && line.app().get_option("--resolution")->count() == 0) study_data.resolution = 16;
  const auto scale_of = [&](const std::string& study) {
    return scale_of_study(study, options.run.quick, options.size, options.seed_count);
  };
  RunEstimate estimate = plans.empty() ? RunEstimate{} : estimate_of(plans, device);
  for (const std::string& name : options.studies)
    if (study_named(name) != nullptr) estimate += estimate_of_study(name, scale_of(name), study_data, device);
  announce(estimate, options.run.out);
  if (options.run.dry_run) return;

  RunFolder folder(options.run, line, {{"device", name_of(device.kind)}, {"plans", resolved}}, {"micro-batch"});
  Progress progress;
  nlohmann::ordered_json results;
  if (!plans.empty())
    for (const char* key : {"contrastive", "shells", "restart", "overlap", "samples"})
      results[key] = nlohmann::ordered_json::array();
  results["claims"] = nlohmann::ordered_json::array();
  std::vector<StudyOutcome> outcomes;
  std::vector<Claim> claims;
  for (const StudyPlan& plan : plans) {
    outcomes.push_back(run_study(plan, options, device, folder, progress, results));
    for (Claim& claim : claims_of(outcomes.back())) claims.push_back(std::move(claim));
  }
  std::vector<StudyPage> pages;
  for (const std::string& name : options.studies) {
    if (study_named(name) == nullptr) continue;
    pages.push_back(study_named(name)({.quick = options.run.quick,
                                       .scale = scale_of(name),
                                       .data = study_data,
                                       .seed = options.compute.seed,
                                       .seed_count = options.seed_count,
                                       .device = device,
                                       .folder = folder,
                                       .progress = progress}));
    results[name] = pages.back().results;
    for (const Claim& claim : pages.back().claims) claims.push_back(claim);
  }
  for (const Claim& claim : claims) results["claims"].push_back(claim_json(claim));
  Report report("Selective underfitting", summary_of(claims));
  report.facts(run_facts(line, std::string(name_of(device.kind)), options.compute.precision, options.compute.seed));
  report.section("Claims");
  report.claims(claims, "What this run says of each claim, with its interval.");
  for (const StudyOutcome& outcome : outcomes) add_study(report, outcome);
  for (const StudyPage& page : pages) page.add(report);
  folder.write_results(results);
  report.write(folder.report());
  fmt::print("{}\n", folder.report().string());
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  const auto options = std::make_shared<Options>();
  options->plan = default_plan();
  return run_program(
      argc, argv,
      {.name = "selective_underfitting",
       .description =
           "Which score does a network learn, and where? Errors against the empirical score over training, by "
           "region; shell distances, overlap, restarts, nearest neighbours.",
       .examples = {{"selective_underfitting --quick --out runs/quick", "minutes on two cores, real data"},
                    {"selective_underfitting --study gaussian,perception --quick --out runs/toys",
                     "other parts of the paper, each its own study"},
                    {"selective_underfitting --quick --out runs/quick --resume", "go on after an interruption"},
                    {"selective_underfitting --data fashion-mnist --subset 10000 --networks unet-xs,unet-s "
                     "--seed-count 3 --checkpoints 500,1500,5000 --out runs/full",
                     "a study of one's own"}}},
      [&](CommandLine& line) {
        StudyPlan& plan = options->plan;
        add_options(line, options->run);
        add_options(line, options->compute);
        add_options(line, plan.data);
        add_options(line, plan.model);
        add_options(line, plan.optimisation);
        CLI::App& app = line.app();
        app.remove_option(app.get_option("--network"));
        app.remove_option(app.get_option("--steps"));
        app.add_option("--study", options->studies, fmt::format("Parts of the paper: contrastive, {}", known_studies()))
            ->delimiter(',')
            ->type_name("NAME,...")
            ->group("Study");
        app.add_option("--study-network", options->size.network, "Of the studies but contrastive: instead of their own")
            ->type_name("SPEC")
            ->group("Study");
        app.add_option("--study-steps", options->size.steps, "Likewise, training steps; 0: their own")
            ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 32))
            ->group("Study");
        app.add_option("--study-samples", options->size.samples, "Likewise, samples of each model; 0: their own")
            ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 24))
            ->group("Study");
        app.add_option("--networks", plan.networks, "Networks to compare, smallest first; the last is examined closely")
            ->delimiter(',')
            ->type_name("SPEC,...")
            ->group("Study");
        app.add_option("--seed-count", options->seed_count, "Paired training seeds: --seed, --seed + 1, ...")
            ->check(CLI::Range(1, 1000))
            ->group("Study");
        app.add_option("--checkpoints", plan.checkpoints, "Steps at which the score is looked at")
            ->delimiter(',')
            ->type_name("N,...")
            ->group("Study");
        app.add_option("--probes", plan.probes, "Evaluation points a region")
            ->check(CLI::Range(8, 100000))
            ->group("Study");
        app.add_option("--samples", plan.samples, "Generated images for quality and memorisation")
            ->check(CLI::Range(8, 1000000))
            ->group("Study");
        app.add_option("--restarts", plan.restarts, "Training images restarted from")
            ->check(CLI::Range(1, 100000))
            ->group("Study");
      },
      [&](CommandLine& line) { run(line, *options); });
}
