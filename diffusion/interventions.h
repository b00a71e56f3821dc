#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "diffusion/data/image_set.h"
#include "diffusion/input_source.h"
#include "diffusion/target.h"

namespace tweedie {

// Interventions by name: *where* x *what*. Any source goes with any process, weight and distribution of levels, and
// with every target that it can supply (an objective says when it cannot).

/// What sources and targets are made from. The score set is whose empirical score is learned, the region whose noised
/// images the network is shown; they are the same unless the region was grown.
struct InterventionGround {
  data::ImageSet score_set, region;
  std::shared_ptr<const DeviceImages> region_images;
  Process process = Process::linear();
  bool conditional = false;  // a network conditioned on labels: targets of a state's class
  std::uint64_t seed = 0;    // of trajectories

  Device device() const { return region_images->pixels.device(); }
};

/// "data": images of the region, noised. "shells:WIDTH": told a level up to WIDTH away (ThickShells).
/// "trajectory:CHECKPOINT[,COUNT]": states of the sampler of that model (TrajectoryStates).
/// Throws UsageError for anything else, and for a checkpoint of another process or image size.
std::shared_ptr<const InputSource> parse_source(std::string_view text, const InterventionGround& ground);

/// "conditional": the image and noise that made the state. "posterior[:K]": the mean over K images drawn from the
/// posterior over the score set (1). "exact": the score set's empirical score, K = infinity. "batch[:M]" and
/// "batch-without[:M]": self-normalised over M images of the region, with or without the generating one (256).
/// "duplicated": the generating image's nearest in the score set. Throws UsageError for anything else.
std::shared_ptr<const Target> parse_target(std::string_view text, const InterventionGround& ground);

}  // namespace tweedie
