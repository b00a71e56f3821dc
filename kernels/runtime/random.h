#pragma once

#include <cstdint>

#include "kernels/runtime/array.h"
#include "kernels/runtime/operation.h"

namespace tweedie {

/// What a random number is for. A draw is named by (seed, purpose, step, sample, position) and by nothing else, so it
/// does not depend on call order, batch composition, thread count or device.
enum class Purpose : std::uint32_t {
  initialise_parameters = 1,
  choose_sample = 2,
  noise_level = 3,
  noise = 4,
  dropout = 5,
  label_drop = 6,
  sampler_start = 7,
  sampler_noise = 8,
  subset = 9,
  held_out_noise = 10,
  probe_noise = 11,
  mosaic = 12,
  bootstrap = 13,
  target_choice = 14,
  synthetic_data = 15,
  hutchinson = 16,
  held_out_target = 17,
  test = 99,
};

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  std::uint32_t step = 0;
};

/// Four 32-bit words of Philox4x32-10 (Salmon et al. 2011, Random123) with key = seed and counter =
/// (block, step, sample, purpose).
struct PhiloxBlock {
  std::uint32_t words[4];
};
PhiloxBlock philox(const RandomKey& key, std::uint32_t sample, std::uint32_t block);

/// Word `position` of the sample's stream as a uniform in (0, 1): (word + 0.5) * 2^-32, exact in double.
double uniform(const RandomKey& key, std::uint32_t sample, std::uint32_t position = 0);
/// A standard normal: entry `position` of what fill_normal writes for this sample, to the last bit of float32.
float normal(const RandomKey& key, std::uint32_t sample, std::uint32_t position = 0);
/// Uniform in [0, bound) by multiplication of a 64-bit word (bias below 2^-32 for bound < 2^32).
std::int64_t uniform_integer(const RandomKey& key, std::uint32_t sample, std::int64_t bound,
                             std::uint32_t position = 0);

/// out (N, D) float32 (float64 on reference): row i gets the standard normals of sample `samples[i]`
/// (int64 (N); absent: sample = first_sample + i). Box-Muller on word pairs: entries 2k and 2k+1 are
/// r cos(2 pi u2), r sin(2 pi u2), r = sqrt(-2 log u1), u = (word + 0.5) 2^-32 of words 2k and 2k+1.
/// bytes: 4 N D written; flops: about 20 N D.
struct FillNormal {
  Array out;
  Array samples;
  std::int64_t first_sample = 0;
  RandomKey key;
};
void validate(const FillNormal& arguments);
double flops(const FillNormal& arguments);
double bytes_moved(const FillNormal& arguments);
extern Operation<FillNormal> fill_normal;

}  // namespace tweedie
