#pragma once

#include "diffusion/input_source.h"
#include "diffusion/score_model.h"

namespace tweedie {

struct TrajectoryOptions {
  std::int64_t count = 1024;         // trajectories
  std::int64_t steps = 50;           // of Heun's method, equal in log(sigma/alpha)^(1/7) for edm, else in t
  std::uint64_t seed = 0;            // of their starts
  std::vector<std::int64_t> labels;  // (count), for a model conditioned on a class
};

/// States of a sampler as inputs: probability-flow trajectories of a score model from noise, kept at every step. A draw
/// picks a trajectory and gives its state at the level asked for, on the straight line between the two kept states
/// around it. No image made these states: only targets that are functions of the state go with them.
class TrajectoryStates final : public InputSource {
 public:
  /// `image`: the shape (H, W, C) of one state. Memory: count (steps + 1) H W C floats.
  TrajectoryStates(ScoreModel& model, const Shape& image, const TrajectoryOptions& options = {});
  DrawFields provides() const override { return DrawFields::none; }
  Draw draw(const DrawRequest& request) const override;
  const Process& process() const override { return process_; }
  std::string describe() const override;

 private:
  Process process_;
  Shape image_;
  Device device_;
  std::int64_t count_;
  std::vector<std::int64_t> labels_;
  std::vector<double> times_;               // (steps + 1), falling
  std::vector<std::vector<float>> states_;  // at each time: (count, d)
};

}  // namespace tweedie
