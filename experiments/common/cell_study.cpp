#include "experiments/common/cell_study.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "diffusion/data/load.h"
#include "experiments/common/command_line.h"
#include "experiments/common/jobs.h"
#include "experiments/common/log.h"
#include "experiments/common/resources.h"

namespace tweedie::experiments {
namespace {

constexpr std::uint64_t evaluation_seed = 0;  // of probes and samples: the same for every cell of every run

std::string ground_key(const CellOptions& options) {
  std::string key = fmt::format("{} {} {} {} {} {}", options.data.data, options.data.resolution, options.data.subset,
                                options.data.subset_seed, options.probes, options.samples);
  for (const int label : options.data.classes) key += fmt::format(" {}", label);
  return key;
}

}  // namespace

void add_options(CommandLine& line, CellOptions& options) {
  add_options(line, options.run);
  add_options(line, options.compute);
  add_options(line, options.data);
  add_options(line, options.model);
  add_options(line, options.intervention);
  add_options(line, options.optimisation);
  add_options(line, options.sweep);
  CLI::App& app = line.app();
  app.add_option("--probes", options.probes, "Evaluation points a region")
      ->check(CLI::Range(8, 100000).description(""))
      ->group("Study");
  app.add_option("--samples", options.samples, "Generated images for quality and memorisation")
      ->check(CLI::Range(8, 1000000).description(""))
      ->group("Study");
}

CellGround lay_cell_ground(const CellOptions& options, Device device) {
  CellGround ground;
  ground.process = Process::named(options.model.process);
  if (ground.process.name() != "linear")
    throw UsageError(fmt::format("--process {}: the measures of this experiment are those of the linear path",
                                 options.model.process));
  if (options.model.conditional) throw UsageError("--conditional: this experiment's networks are told no labels");
  DataOptions whole = options.data;
  whole.subset = 0;
  TrainingData data = load_training_data(whole);
  if (!data.held_out)
    throw UsageError(fmt::format("--data {}: this experiment needs held-out images, and the data have no test split",
                                 options.data.data));
  ground.all = std::move(data.train);
  ground.held_out = std::move(*data.held_out);
  const std::int64_t size = options.data.subset;
  if (size < 2 || size > ground.all.count)
    throw UsageError(fmt::format("--subset {}: expected 2 to {} images, all that '{}' have", size, ground.all.count,
                                 options.data.data));
  if (ground.held_out.count < std::max(options.probes, options.samples))
    throw UsageError(fmt::format("{} held-out images are too few for --probes {} and --samples {}",
                                 ground.held_out.count, options.probes, options.samples));
  ground.score_set = ground.all.labels.empty() ? ground.all.subset(size, options.data.subset_seed)
                                               : ground.all.balanced_subset(size, options.data.subset_seed);
  ground.empirical = std::make_shared<EmpiricalScore>(ground.score_set, device);
  const auto reference = [&](const char* region, const data::ImageSet& images) {
    return reference_at(noised_states(region, *on_device(images, device), ground.process, probe_levels(),
                                      options.probes, evaluation_seed),
                        *ground.empirical, ground.process);
  };
  ground.supervised = reference("sup", ground.score_set);
  ground.unseen = reference("heldout", ground.held_out);
  ground.features = std::make_shared<PrincipalFeatures>(ground.held_out, 64);
  ground.held_out_moments = feature_moments(ground.features->features(ground.held_out), ground.features->dimension());
  const auto d = static_cast<std::size_t>(ground.held_out.dimension());
  std::vector<float> unseen(static_cast<std::size_t>(options.samples) * d);
  for (std::int64_t i = 0; i < options.samples; ++i)
    ground.held_out.copy_float(i, std::span(unseen).subspan(static_cast<std::size_t>(i) * d, d));
  ground.held_out_neighbours = neighbour_measures(unseen, *ground.empirical);
  return ground;
}

const CellGround& ground_of(CellGrounds& grounds, const CellOptions& options, Device device) {
  const CellGround& ground = *grounds.get(
      ground_key(options), [&] { return std::make_shared<const CellGround>(lay_cell_ground(options, device)); });
  const double ratio = options.intervention.region_ratio;
  if (ratio * static_cast<double>(ground.score_set.count) > static_cast<double>(ground.all.count))
    throw UsageError(fmt::format("--region-ratio {}: {} times {} images are more than the {} of '{}'", ratio, ratio,
                                 ground.score_set.count, ground.all.count, options.data.data));
  return ground;
}

std::vector<SweepCell> cells_of(const std::vector<SweepStudy>& studies, const SweepOptions& options,
                                CommandLine& line) {
  std::vector<SweepCell> cells;
  for (const SweepStudy& study : studies)
    for (SweepCell& cell : study_cells(study, options, line)) {
      // What the command line fixes may make two studies ask for one cell.
      const bool known =
          std::any_of(cells.begin(), cells.end(), [&](const SweepCell& other) { return other.name() == cell.name(); });
      if (!known) cells.push_back(std::move(cell));
    }
  return cells;
}

void announce_cells(const std::vector<SweepCell>& cells, CommandLine& line, const CellOptions& options, Device device,
                    const CellCosts& costs) {
  RunEstimate total;
  std::map<std::string, TrainingEstimate> measured;
  const auto at_once = jobs_at_once(static_cast<std::int64_t>(cells.size()), device);
  std::optional<JobThreads> threads(std::in_place, static_cast<std::int64_t>(cells.size()), device);
  std::map<std::string, data::ImageSet> sets;
  std::set<std::string> named;
  for (const SweepCell& cell : cells) {
    apply(cell, line);
    const std::string data_key = fmt::format("{} {}", options.data.data, options.data.resolution);
    auto set = sets.find(data_key);
    if (set == sets.end()) {
      DataOptions few = options.data;
      few.subset = 256;
      set = sets.emplace(data_key, load_training_data(few).train).first;
    }
    const std::string key =
        fmt::format("{} {} {} {}", data_key, options.model.network, options.optimisation.batch, cell.value("align"));
    auto found = measured.find(key);
    if (found == measured.end()) {
      const auto model = make_model(options.model, set->second, device, 0);
      Trainer trainer(*model, make_objective(options.model, on_device(set->second, device), model->process()), nullptr,
                      trainer_options(options.optimisation, 0), costs.alignment ? costs.alignment(*model, 0) : nullptr);
      found = measured.emplace(key, trainer.estimate()).first;
    }
    // A target or source that cannot be is found here; trajectories only in their cell, since they cost a sampling.
    const InterventionOptions& intervention = options.intervention;
    if (!intervention.source.starts_with("trajectory") &&
        named.insert(intervention.source + " " + intervention.target + " " + data_key).second)
      make_objective(options.model, intervention,
                     intervention_ground(options.model, set->second, set->second, device, 0));
    const TrainingEstimate& one = found->second;
    // Examining asks the network, forwards only (a third of a training sample each), at three regions of nine levels
    // and at forty sampler evaluations a sample.
    const double examined = static_cast<double>(costs.looks * (3 * 9 * options.probes + 40 * options.samples)) / 3.0;
    const double more = costs.more_samples ? costs.more_samples() : 0.0;
    const double steps = static_cast<double>(options.optimisation.steps) +
                         (examined + more) / static_cast<double>(options.optimisation.batch);
    total.seconds += one.seconds_per_step * steps;
    total.flops += one.flops_per_step * steps;
    total.disk_bytes += (1 + costs.looks) * one.checkpoint_bytes +
                        options.samples * set->second.dimension() * static_cast<std::int64_t>(sizeof(float));
    total.memory_bytes =
        std::max(total.memory_bytes, one.bytes_fixed + options.optimisation.batch * one.bytes_per_sample);
  }
  threads.reset();
  total.seconds /= static_cast<double>(at_once);
  total.memory_bytes *= at_once;
  total += costs.before;
  log_info("{} cells, {} at a time", cells.size(), at_once);
  announce(total, options.run.out);
}

}  // namespace tweedie::experiments
