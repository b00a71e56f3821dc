#include <CLI/App.hpp>

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "experiments/common/command_line.h"
#include "experiments/common/log.h"
#include "experiments/common/options.h"
#include "experiments/common/progress.h"
#include "experiments/common/resources.h"
#include "experiments/common/run_folder.h"
#include "experiments/generalization_through_variance/part.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

struct Options {
  RunOptions run;
  ComputeOptions compute;
  int figure = 0;     // 0: none asked for
  std::string study;  // "": none asked for
  PartSettings part;
  std::int64_t samples = 0;  // 0: 20,000 with --quick, else 100,000
  bool no_control = false;
};

struct Choice {
  std::string key;  // in results.json where there are several
  NamedPart part;
  /// With --quick and no other size, on one core where a model of calibration_seconds() takes reference_seconds; and
  /// the arithmetic of that, counted by hand.
  double seconds, flops;
  double (*work)(const PartSettings&);  // as a multiple of that
};

/// Of one model of figure 2, where the parts were timed.
constexpr double reference_seconds = 0.002;

double parts_of(std::int64_t count, std::int64_t of) {
  return static_cast<double>(count) / static_cast<double>(of);
}
double by_models(const PartSettings& settings) {
  return parts_of(settings.models, 100);
}
double by_models_and_samples(const PartSettings& settings) {
  return by_models(settings) * parts_of(settings.samples, 20'000) * (settings.control ? 1.0 : 0.5);
}

const std::vector<Choice>& choices() {
  static const std::vector<Choice> all = {
      {"figure_1",
       {"1", "Figure 1: where the target is noisy", run_figure_1},
       0.5,
       4e7,
       [](const PartSettings&) { return 1.0; }},
      {"figure_2", {"2", "Figure 2: gaps on the line", run_figure_2}, 5.5, 4e11, by_models_and_samples},
      {"figure_3", {"3", "Figure 3: gaps in the plane", run_figure_3}, 12, 1e12, by_models_and_samples},
      {"naive",
       {"naive", "The naive sampler and its limit", run_naive},
       10,
       8e9,
       [](const PartSettings& s) { return parts_of(s.samples, 20'000) * (s.quick ? 1.0 : 2.0); }},
      {"effective_sde",
       {"effective-sde", "Frozen Gaussian noise in the place of training", run_effective_sde},
       1.7,
       7e10,
       by_models},
      {"linear",
       {"linear", "The covariance of linear models", run_linear},
       1.3,
       2e10,
       [](const PartSettings& s) { return by_models(s) * (s.quick ? 1.0 : 8.0); }},
      {"gaussianity",
       {"gaussianity", "Are the estimators Gaussian?", run_gaussianity},
       2.8,
       2e11,
       [](const PartSettings& s) { return by_models(s) * (s.quick ? 1.0 : 4.0); }},
      {"ntk",
       {"ntk", "Lazy networks: the tangent kernel over training", run_ntk},
       5,
       5e9,
       [](const PartSettings& s) { return parts_of(std::min<std::int64_t>(s.models, s.quick ? 20 : 100), 20); }},
      {"mlp",
       {"mlp", "A trained network: noisy against exact targets", run_mlp},
       50,
       1e12,
       [](const PartSettings& s) {
         std::int64_t steps = 0;
         for (const std::int64_t budget : s.training_steps) steps += budget;
         return parts_of(std::min<std::int64_t>(s.models, s.quick ? 8 : 24), 8) * parts_of(steps, 9500);
       }},
      {"factors", {"factors", "Six factors", run_factors}, 5.5, 2e11, by_models},
  };
  return all;
}

/// Seconds of one core for one model of figure 2 on this machine, on all threads at once.
double calibration_seconds() {
  PartSettings settings;
  settings.models = 4 * omp_get_max_threads();
  const auto start = std::chrono::steady_clock::now();
  run_line_ensemble(line_plan(settings, 1e-3, 256, 0), three_points(), LineBins{});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / 4.0;
}

RunEstimate estimate_of(const std::vector<Choice>& parts, const PartSettings& settings) {
  RunEstimate estimate{.memory_bytes = 1'000'000'000, .disk_bytes = 50'000'000};
  const double slowness = calibration_seconds() / reference_seconds;
  for (const Choice& choice : parts) {
    const int threads = choice.key == "mlp" ? 1 : omp_get_max_threads();
    estimate.seconds += choice.seconds * choice.work(settings) * slowness / threads;
    estimate.flops += choice.flops * choice.work(settings);
  }
  return estimate;
}

std::vector<Choice> chosen(const Options& options) {
  if (options.figure != 0 && !options.study.empty()) throw UsageError("--figure and --study: expected one of them");
  const std::string wanted = options.figure != 0 ? std::to_string(options.figure) : options.study;
  if (wanted.empty()) return choices();
  for (const Choice& choice : choices())
    if (choice.part.name == wanted) return {choice};
  throw UsageError("--study: no study '" + wanted + "'");
}

std::string summary_of(const std::vector<Claim>& claims) {
  return "Denoising score matching regresses on a noisy target. Does that noise make diffusion models generalise, by "
         "filling the gaps between training points (generalization through variance, Vastola, arXiv 2504.12532)?" +
         tally_of(claims);
}

void run(const CommandLine& line, Options options) {
  apply(options.compute);
  const std::vector<Choice> parts = chosen(options);
  if (options.part.lookup_grid == 1) throw UsageError("--lookup-grid: expected 0 or at least 2 points");
  if (!options.run.dry_run) RunFolder::check(options.run);
  options.part.seed = options.compute.seed;
  options.part.quick = options.run.quick;
  options.part.control = !options.no_control;
  options.part.samples = options.samples > 0 ? options.samples : options.run.quick ? 20'000 : 100'000;
  announce(estimate_of(parts, options.part), options.run.out);
  if (options.run.dry_run) return;

  RunFolder folder(options.run, line, {{"samples_a_model", options.part.samples}, {"models", options.part.models}});
  Progress progress;
  options.part.folder = &folder;
  options.part.progress = &progress;
  nlohmann::ordered_json results;
  std::vector<Claim> claims;
  std::vector<Part> done;
  for (const Choice& choice : parts) {
    Part part = choice.part.run(options.part);
    part.results["claims"] = nlohmann::ordered_json::array();
    for (const Claim& claim : part.claims) part.results["claims"].push_back(claim_json(claim));
    claims.insert(claims.end(), part.claims.begin(), part.claims.end());
    if (parts.size() == 1)
      results = part.results;
    else
      results[choice.key] = part.results;
    done.push_back(std::move(part));
  }
  Report report("Generalization through variance", summary_of(claims));
  report.facts(run_facts(line, "cpu", "float64 closed forms, float32 sampling", options.compute.seed));
  if (!claims.empty()) {
    report.section("Claims");
    report.claims(claims, "What this run says of each claim. Seeds counts independently trained models.");
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    report.section(parts[i].part.title);
    done[i].page(report);
  }
  folder.write_results(results);
  report.write(folder.report());
  fmt::print("{}\n", folder.report().string());
}

}  // namespace
}  // namespace tweedie::experiments

int main(int argc, char** argv) {
  using namespace tweedie::experiments;
  const auto options = std::make_shared<Options>();
  return run_program(
      argc, argv,
      {.name = "generalization_through_variance",
       .description = "Does the noise of the denoising target fill the gaps between training points? The figures and "
                      "the theory of Vastola 2025 (arXiv 2504.12532), with the controls that tell variance from bias. "
                      "Without --figure or --study: everything.",
       .examples = {{"generalization_through_variance --quick --out runs/gv", "all figures and studies, in minutes"},
                    {"generalization_through_variance --figure 2 --lookup-grid 200 --samples 20000 --out runs/gv2",
                     "figure 2 with the public notebooks' grid look-up"},
                    {"generalization_through_variance --study naive --out runs/naive", "one study"}},
       .stops_when_asked = false},
      [&](CommandLine& line) {
        add_options(line, options->run);
        add_options(line, options->compute);
        CLI::App& app = line.app();
        app.remove_option(app.get_option("--resume"));
        app.add_option("--figure", options->figure, "Only this figure of the paper: 1, 2 or 3")
            ->check(CLI::Range(1, 3).description(""))
            ->group("Study");
        app.add_option("--study", options->study,
                       "Only this study: naive, effective-sde, linear, ntk, mlp, factors or gaussianity")
            ->check(CLI::IsMember({"naive", "effective-sde", "linear", "ntk", "mlp", "factors", "gaussianity"})
                        .description(""))
            ->type_name("NAME")
            ->group("Study");
        app.add_option("--samples", options->samples, "Samples of each model; 0 for 100,000, or 20,000 with --quick")
            ->check(CLI::Range(0, 10'000'000).description(""))
            ->group("Study");
        app.add_option("--models", options->part.models, "Independently trained models a cell")
            ->check(CLI::Range(2, 100'000).description(""))
            ->group("Study");
        app.add_option(
               "--lookup-grid", options->part.lookup_grid,
               "Look the denoiser up on a grid of so many points over [-1.5, 1.5] (200: as the public notebooks "
               "do) instead of evaluating it at the state; 0 evaluates it")
            ->check(CLI::Range(0, 4096).description(""))
            ->group("Study");
        app.add_option("--training-steps", options->part.training_steps, "Of study mlp: how long its networks train")
            ->delimiter(',')
            ->check(CLI::Range(1, 100'000'000).description(""))
            ->type_name("N,...")
            ->group("Study");
        app.add_flag("--no-control", options->no_control, "Leave out the models with exact targets of figures 2 and 3")
            ->group("Study");
      },
      [&](const CommandLine& line) { run(line, *options); });
}
