#pragma once

#include <string>

#include "diffusion/interventions.h"
#include "diffusion/objective.h"
#include "experiments/common/training.h"

namespace tweedie::experiments {

/// Where the network is shown states and what it is asked for there: --source --target --region-ratio.
struct InterventionOptions {
  std::string source = "data";         // see parse_source
  std::string target = "conditional";  // see parse_target
  double region_ratio = 1.0;           // images that make the states, for each image whose score is learned
};
void add_options(CommandLine& line, InterventionOptions& options);

/// The score set (what --subset leaves) followed by other training images of the same data, `ratio` times as many in
/// all, drawn without replacement and, with labels, from the classes that have fewest so far. With one --subset-seed a
/// smaller region is the beginning of a larger one. Throws UsageError where the data have too few.
data::ImageSet grow_region(const DataOptions& options, const data::ImageSet& score_set, double ratio);

/// What sources and targets of these sets are made from; `seed` is that of trajectories.
InterventionGround intervention_ground(const ModelOptions& model, const data::ImageSet& score_set,
                                       const data::ImageSet& region, Device device, std::uint64_t seed);

/// The regression that all of these name. Throws UsageError for unknown names, Error where the source cannot supply
/// what the target needs.
Objective make_objective(const ModelOptions& model, const InterventionOptions& intervention,
                         const InterventionGround& ground);

}  // namespace tweedie::experiments
