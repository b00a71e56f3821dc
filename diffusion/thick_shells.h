#pragma once

#include "diffusion/input_source.h"

namespace tweedie {

/// Thickened shells: the network is told t, and the state is noised to a level drawn uniformly within `width` of it
/// (cut to the process's range). States then lie where no image noised to t would. The conditional target is the clean
/// image seen from the state at the level told: c_x x + c_e (z - alpha(t) x)/sigma(t).
class ThickShells final : public InputSource {
 public:
  /// Throws UsageError for a width below 0.
  ThickShells(std::shared_ptr<const DeviceImages> images, Process process, double width);
  DrawFields provides() const override;
  Draw draw(const DrawRequest& request) const override;
  const Process& process() const override { return noised_.process(); }
  std::string describe() const override;

 private:
  NoisedData noised_;
  double width_;
};

}  // namespace tweedie
