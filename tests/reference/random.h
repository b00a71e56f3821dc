#pragma once

#include <cmath>
#include <numbers>

#include "kernels/runtime/random.h"

namespace tweedie {

/// The normal that random.h's fill_normal defines, in double by the Box-Muller formula.
inline double reference_normal(const RandomKey& key, std::uint32_t sample, std::uint32_t position) {
  const std::uint32_t even = position / 2 * 2;
  const double radius = std::sqrt(-2.0 * std::log(uniform(key, sample, even)));
  const double angle = 2.0 * std::numbers::pi * uniform(key, sample, even + 1);
  return radius * (position % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

}  // namespace tweedie
