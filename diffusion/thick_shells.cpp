#include "diffusion/thick_shells.h"

#include <algorithm>

namespace tweedie {

ThickShells::ThickShells(std::shared_ptr<const DeviceImages> images, Process process, double width)
    : noised_(std::move(images), std::move(process)), width_(width) {
  if (!(width >= 0.0)) throw UsageError(fmt::format("shells: width {}, expected 0 or more", width));
}

DrawFields ThickShells::provides() const {
  return noised_.provides();
}

std::string ThickShells::describe() const {
  return fmt::format("{}, told a level up to {} away", noised_.describe(), width_);
}

Draw ThickShells::draw(const DrawRequest& request) const {
  const RandomKey key{request.seed, request.held_out ? Purpose::held_out_noise : Purpose::noise_level, request.step};
  constexpr std::uint32_t shift_position = 0xffffffe0u;  // apart from noise and from the level told
  const Process& path = noised_.process();
  DrawRequest moved = request;
  for (std::size_t i = 0; i < moved.t.size(); ++i) {
    const auto sample = static_cast<std::uint32_t>(request.first + static_cast<std::int64_t>(i));
    const double told = request.t[i], shift = width_ * (2.0 * uniform(key, sample, shift_position) - 1.0);
    const double t = std::clamp(told + shift, path.t_min(), path.t_max());
    moved.t[i] = t;
    if (i < moved.coefficients.size()) {
      // c_x x + c_e (z - alpha x)/sigma at the level told, with z = alpha' x + sigma' e.
      const Coefficients c = request.coefficients[i];
      const double per_z = c.e / path.sigma(told);
      moved.coefficients[i] = {c.x + per_z * (path.alpha(t) - path.alpha(told)), per_z * path.sigma(t)};
    }
  }
  Draw draw = noised_.draw(moved);
  draw.t_told = request.t;  // t_state keeps the level that the state really has
  return draw;
}

}  // namespace tweedie
