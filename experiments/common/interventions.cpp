#include "experiments/common/interventions.h"

#include <CLI/App.hpp>

#include <cmath>

#include "diffusion/data/load.h"
#include "experiments/common/command_line.h"
#include "experiments/common/options.h"

namespace tweedie::experiments {

void add_options(CommandLine& line, InterventionOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--source", options.source,
                 "States shown: data (noised images), shells:WIDTH (told a level up to WIDTH away), "
                 "trajectory:CHECKPOINT[,COUNT] (a model's sampler)")
      ->type_name("SPEC")
      ->group("Intervention");
  app.add_option("--target", options.target,
                 "Asked for there: conditional (denoising score matching), posterior[:K] (mean of K posterior draws), "
                 "exact (the empirical score), batch[:M] and batch-without[:M] (self-normalised over M images, with or "
                 "without the generating one), duplicated (the nearest image of the score set)")
      ->type_name("SPEC")
      ->group("Intervention");
  app.add_option("--region-ratio", options.region_ratio,
                 "Images that make the states, for each of the --subset images whose score is learned")
      ->check(CLI::Range(1.0, 1e6).description(""))
      ->group("Intervention");
}

data::ImageSet grow_region(const DataOptions& options, const data::ImageSet& score_set, double ratio) {
  if (!(ratio > 1.0)) return score_set;
  const data::ImageSet all = data::load_data({.name = options.data,
                                              .split = data::Split::train,
                                              .resolution = options.resolution,
                                              .classes = {options.classes.begin(), options.classes.end()}});
  const double wanted = std::round(ratio * static_cast<double>(score_set.count));
  if (wanted > static_cast<double>(all.count))
    throw UsageError(fmt::format("--region-ratio {}: {} times {} images are more than the {} of '{}'", ratio, ratio,
                                 score_set.count, all.count, options.data));
  return all.superset(score_set, ratio, options.subset_seed);
}

InterventionGround intervention_ground(const ModelOptions& model, const data::ImageSet& score_set,
                                       const data::ImageSet& region, Device device, std::uint64_t seed) {
  InterventionGround ground;
  ground.score_set = score_set;
  ground.region = region;
  ground.region_images = on_device(region, device);
  ground.process = Process::named(model.process);
  ground.conditional = model.conditional;
  ground.seed = seed;
  return ground;
}

Objective make_objective(const ModelOptions& model, const InterventionOptions& intervention,
                         const InterventionGround& ground) {
  return Objective(parse_source(intervention.source, ground), parse_target(intervention.target, ground),
                   parse_weighting(model.weighting), parse_noise_levels(model.levels, ground.process),
                   label_drop(model, ground.region.classes));
}

}  // namespace tweedie::experiments
