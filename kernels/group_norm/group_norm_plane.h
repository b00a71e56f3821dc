#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/runtime/shape.h"

namespace tweedie {

/// What the backward's first pass needs of each channel: normalised = (x - centre) rstd + residual, and
/// m = normalised factor + addend.
struct BackwardChannels {
  const float *centre, *rstd, *residual, *factor, *addend;
};

/// Rows summed in float32 before their sum goes to double: few enough to stay in the nearest cache.
inline std::int64_t rows_of_block(std::int64_t channels) {
  return std::clamp<std::int64_t>(2048 / channels, 4, 64);
}

/// Samples worth waking a thread for.
inline std::int64_t samples_of_grain(const Shape& x) {
  return std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, x[1] * x[2]));
}

}  // namespace tweedie
