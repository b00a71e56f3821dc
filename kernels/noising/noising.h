#pragma once

#include "kernels/runtime/operation.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// Noised states and regression targets straight from a data set, in one pass:
///   x = images[indices[n]] (uint8 v -> v / 127.5 - 1; float32 as it is),  e = normals of sample stream samples[n],
///   z = alpha[n] x + sigma[n] e,  target = target_clean[n] x + target_noise[n] e.
/// images (count, D) uint8 or float32; indices, samples (N) int64; alpha, sigma, target_clean, target_noise (N);
/// z, target, clean (= x), noise (= e) (N, D), all float32 or all bfloat16. target (with its two coefficients), clean
/// and noise are optional.
/// The normals equal fill_normal's. bytes: the N images read, z and the optional outputs written.
struct NoiseImages {
  Array images, indices, samples, alpha, sigma, target_clean, target_noise;
  Array z, target, clean, noise;
  RandomKey key;
};
void validate(const NoiseImages& arguments);
double flops(const NoiseImages& arguments);
double bytes_moved(const NoiseImages& arguments);
extern Operation<NoiseImages> noise_images;

}  // namespace tweedie
