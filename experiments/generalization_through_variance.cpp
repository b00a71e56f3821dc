#include <CLI/App.hpp>

#include <algorithm>
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
  double seconds;  // on two cores, with --quick and 100 models
};

const std::vector<Choice>& choices() {
  static const std::vector<Choice> all = {
      {"figure_1", {"1", "Figure 1: where the target is noisy", run_figure_1}, 1},
      {"figure_2", {"2", "Figure 2: gaps on the line", run_figure_2}, 15},
      {"figure_3", {"3", "Figure 3: gaps in the plane", run_figure_3}, 30},
      {"naive", {"naive", "The naive sampler and its limit", run_naive}, 20},
      {"effective_sde", {"effective-sde", "Frozen Gaussian noise in the place of training", run_effective_sde}, 10},
      {"linear", {"linear", "The covariance of linear models", run_linear}, 15},
      {"gaussianity", {"gaussianity", "Are the estimators Gaussian?", run_gaussianity}, 10},
      {"ntk", {"ntk", "Lazy networks: the tangent kernel over training", run_ntk}, 30},
      {"mlp", {"mlp", "A trained network: noisy against exact targets", run_mlp}, 40},
      {"factors", {"factors", "Six factors", run_factors}, 20},
  };
  return all;
}

std::vector<Choice> chosen(const Options& options) {
  if (options.figure != 0 && !options.study.empty()) throw UsageError("--figure and --study: expected one of them");
  const std::string wanted = options.figure != 0 ? std::to_string(options.figure) : options.study;
  if (wanted.empty()) return choices();
  for (const Choice& choice : choices())
    if (choice.part.name == wanted) return {choice};
  throw UsageError("--study: no study '" + wanted + "'");
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "reproduced";
    case Verdict::not_at_this_scale:
      return "not at this scale";
    case Verdict::contradicted:
      return "contradicted";
    case Verdict::as_measured:
      return "as measured";
  }
  return "";
}

nlohmann::ordered_json claims_json(const std::vector<Claim>& claims) {
  auto rows = nlohmann::ordered_json::array();
  for (const Claim& claim : claims)
    rows.push_back({{"statement", claim.statement},
                    {"verdict", verdict_name(claim.verdict)},
                    {"effect_name", claim.effect_name},
                    {"effect", claim.effect},
                    {"low", claim.low},
                    {"high", claim.high},
                    {"n", claim.n},
                    {"models", claim.seeds},
                    {"note", claim.note}});
  return rows;
}

std::string summary_of(const std::vector<Claim>& claims) {
  const auto count = [&](Verdict verdict) {
    return std::count_if(claims.begin(), claims.end(), [&](const Claim& claim) { return claim.verdict == verdict; });
  };
  std::string text =
      "Denoising score matching regresses on a noisy target. Does that noise make diffusion models generalise, by "
      "filling the gaps between training points (generalization through variance, Vastola, arXiv 2504.12532)?";
  if (!claims.empty())
    text += fmt::format(
        " Of {} claims checked here, {} hold in this run, {} do not show at this scale and {} are contradicted.",
        claims.size() - static_cast<std::size_t>(count(Verdict::as_measured)), count(Verdict::reproduced),
        count(Verdict::not_at_this_scale), count(Verdict::contradicted));
  return text;
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
  double seconds = 0.0;
  for (const Choice& choice : parts)
    seconds += choice.seconds * static_cast<double>(options.part.models) / 100.0 *
               (options.run.quick ? 1.0 : static_cast<double>(options.part.samples) / 20'000.0);
  announce({.memory_bytes = 1'000'000'000, .disk_bytes = 50'000'000, .seconds = seconds}, options.run.out);
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
    part.results["claims"] = claims_json(part.claims);
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
        app.add_flag("--no-control", options->no_control, "Leave out the models with exact targets of figures 2 and 3")
            ->group("Study");
      },
      [&](const CommandLine& line) { run(line, *options); });
}
