#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

#include "experiments/common/command_line.h"
#include "experiments/common/jobs.h"
#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/selective_underfitting/page.h"
#include "experiments/selective_underfitting/plans.h"
#include "experiments/selective_underfitting/studies.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {
namespace {

struct Options {
  RunOptions run;
  ComputeOptions compute;
  StudyPlan plan;
  SweepOptions sweep{.seeds = "0..2", .axes = {}};  // of the contrastive study; the others take its seeds
  std::vector<std::string> studies = {"contrastive"};
  StudySize size;
  bool has(const std::string& study) const { return std::ranges::find(studies, study) != studies.end(); }
};

void check(const Options& options) {
  for (const std::string& name : options.studies)
    if (name != "contrastive" && study_named(name) == nullptr)
      throw UsageError(fmt::format("--study {}: expected contrastive, {}", name, known_studies()));
  if (!options.sweep.axes.empty() && !options.has("contrastive"))
    throw UsageError("--sweep: only --study contrastive has plans of options to sweep");
}

StudyOutcome run_study(const StudyPlan& plan, const Options& options, Device device, RunFolder& folder,
                       Progress& progress, nlohmann::ordered_json& results) {
  StudyOutcome outcome{.plan = plan};
  std::shared_ptr<StudyGround> ground;
  {
    const Progress::Stage stage(progress, "exact scores of " + plan.label);
    ground = std::make_shared<StudyGround>(lay_ground(plan, device, options.compute.seed));
  }
  std::vector<std::pair<std::string, std::uint64_t>> followed;
  for (const std::string& network : plan.networks)
    for (const std::uint64_t seed : plan.seeds) followed.emplace_back(network, seed);
  {
    const auto count = static_cast<std::int64_t>(followed.size());
    Progress::Stage stage(progress, plan.label, count);
    const auto job = [&](std::int64_t i) -> const auto& {
      return followed[static_cast<std::size_t>(i)];
    };
    run_jobs(
        count, device,
        [&](std::int64_t i) { follow_network(plan, *ground, job(i).first, job(i).second, device, folder, progress); },
        [&](std::int64_t i) { stage.advance(1, fmt::format("{}, seed {}", job(i).first, job(i).second)); });
  }
  for (const auto& [network, seed] : followed)
    for (auto& look : finished_looks(plan, network, seed, folder)) outcome.looks.push_back(std::move(look));
  outcome.examined = plan.networks.back();
  outcome.overlap = overlap_curve(plan, *ground, results);
  for (const std::uint64_t seed : plan.seeds) {
    const nlohmann::ordered_json examined = finished_examination(plan, seed, folder);
    for (const char* rows : {"shells", "restart"})
      for (const auto& row : examined.at(rows)) results[rows].push_back(row);
    results["samples"].push_back(examined.at("samples"));
    outcome.findings.push_back(findings_of(examined, plan, folder));
  }
  for (const auto& row : contrastive_rows(outcome)) results["contrastive"].push_back(row);
  outcome.baselines = baselines_of(*ground);
  for (const Baseline& baseline : outcome.baselines)
    results["baselines"].push_back({{"plan", plan.name},
                                    {"data", plan.data.data},
                                    {"t", baseline.t},
                                    {"zero", baseline.zero},
                                    {"gaussian", baseline.gaussian},
                                    {"trace", baseline.trace}});
  return outcome;
}

bool is_sweep(const std::vector<StudyOutcome>& outcomes) {
  return outcomes.size() > 1 && !outcomes.front().plan.swept.empty();
}

std::string summary_of(const std::vector<Claim>& claims) {
  return "Does a better diffusion model come closer to the empirical score everywhere, or only where training "
         "supervises "
         "it (selective underfitting, Song et al., arXiv 2510.01378)?" +
         tally_of(claims);
}

nlohmann::ordered_json resolved(const std::vector<StudyPlan>& plans) {
  auto rows = nlohmann::ordered_json::array();
  for (const StudyPlan& plan : plans)
    rows.push_back({{"plan", plan.name},
                    {"data", plan.data.data},
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
  return rows;
}

void run(CommandLine& line, Options& options) {
  const Device device = apply(options.compute);
  if (!options.run.dry_run) RunFolder::check(options.run);
  check(options);
  const std::vector<std::uint64_t> seeds = parse_seeds(options.sweep.seeds);
  // Before plans change the options: config.json records those that were given, and the other studies take the data so,
  // but for a resolution that is a GPU's.
  nlohmann::ordered_json config = run_config(line, {{"device", name_of(device.kind)}});
  DataOptions study_data = options.plan.data;
  if (options.run.quick && line.app().get_option("--resolution")->count() == 0) study_data.resolution = 16;
  std::vector<StudyPlan> plans;
  if (options.has("contrastive")) plans = plans_of(line, options.plan, options.sweep, options.run.quick);
  config["plans"] = resolved(plans);
  const auto scale_of = [&](const std::string& study) {
    return scale_of_study(study, options.run.quick, options.size, static_cast<int>(seeds.size()));
  };
  RunEstimate estimate = plans.empty() ? RunEstimate{} : estimate_of(plans, device);
  for (const std::string& name : options.studies)
    if (study_named(name) != nullptr) estimate += estimate_of_study(name, scale_of(name), study_data, device);
  announce(estimate, options.run.out);
  if (options.run.dry_run) return;

  RunFolder folder(options.run.out, existing_of(options.run), config, {"micro-batch", "seeds", "sweep"});
  Progress progress;
  nlohmann::ordered_json results;
  if (!plans.empty())
    for (const char* key : {"contrastive", "shells", "restart", "overlap", "samples", "baselines"})
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
                                       .seeds = seeds,
                                       .device = device,
                                       .folder = folder,
                                       .progress = progress}));
    results[name] = pages.back().results;
    for (const Claim& claim : pages.back().claims) claims.push_back(claim);
  }
  if (is_sweep(outcomes)) results["sweep"] = sweep_rows(outcomes);
  for (const Claim& claim : claims) results["claims"].push_back(claim_json(claim));
  Report report("Selective underfitting", summary_of(claims));
  report.facts(run_facts(line, std::string(name_of(device.kind)), options.compute.precision, options.compute.seed));
  report.section("Claims");
  report.claims(claims, "What this run says of each claim, with its interval.");
  for (const StudyOutcome& outcome : outcomes) add_study(report, outcome);
  if (is_sweep(outcomes)) add_sweep(report, outcomes);
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
                     "--seeds 0..4 --checkpoints 500,1500,5000 --out runs/full",
                     "a study of one's own"},
                    {"selective_underfitting --quick --sweep subset=500,2000,20000 --out runs/sizes",
                     "one plan for each size, and a summary of them"}}},
      [&](CommandLine& line) {
        StudyPlan& plan = options->plan;
        add_options(line, options->run);
        add_options(line, options->compute);
        add_options(line, plan.data);
        add_options(line, plan.model);
        add_options(line, plan.optimisation);
        add_options(line, options->sweep);
        CLI::App& app = line.app();
        app.remove_option(app.get_option("--network"));
        app.remove_option(app.get_option("--steps"));
        app.get_option("--seeds")->description("Paired seeds of training, for every network and study: 0..4, or 0,3,7");
        app.get_option("--sweep")->description(
            "Of the contrastive study: an option and its values, one plan each: key=a,b,c; may be repeated. With "
            "--quick "
            "every plan is that of the plain images");
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
