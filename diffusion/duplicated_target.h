#pragma once

#include "diffusion/empirical_score.h"
#include "diffusion/target.h"

namespace tweedie {

/// A control of the region experiment: every image of the region stands for its nearest image of the score set, so that
/// this one is duplicated over the states of all images near it. The network is asked, at a state made from x, for that
/// image as if it had made the state. Unlike a posterior target it depends on which image made the state.
class DuplicatedTarget final : public Target {
 public:
  /// `region`: the images of the source, in its order.
  DuplicatedTarget(const data::ImageSet& region, const EmpiricalScore& score_set);
  DrawFields needs() const override { return DrawFields::source; }
  Tensor target(const Draw& draw, const Process& process, const Parameterisation& parameterisation) const override;
  std::string name() const override {
    return fmt::format("nearest of {} images, duplicated over {}", score_images_.count, stands_for_.size());
  }
  /// The image of the score set that stands for each image of the region.
  const std::vector<std::int64_t>& stands_for() const { return stands_for_; }

 private:
  data::ImageSet score_images_;
  std::vector<std::int64_t> stands_for_;
};

}  // namespace tweedie
