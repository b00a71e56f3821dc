#pragma once

#include <cstdint>

namespace tweedie {

/// One sample of noise_images: its image as bytes or as floats (the other is null), its coefficients and its rows of
/// the outputs (null where absent, but for z).
struct NoisingRow {
  const std::uint8_t* bytes;
  const float* floats;
  std::uint32_t sample;
  float alpha, sigma, target_clean, target_noise;
  float *z, *target, *clean, *noise;
};

}  // namespace tweedie
