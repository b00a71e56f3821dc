#pragma once

#include <Random123/philox.h>

#include "kernels/runtime/normal.h"
#include "kernels/runtime/random.h"

// The device side of random.h: the same words, and the same normals to the last bit (normal.h).
namespace tweedie {

__device__ inline PhiloxBlock device_philox(const RandomKey& key, std::uint32_t sample, std::uint32_t block) {
  const r123::Philox4x32::ctr_type counter = {{block, key.step, sample, static_cast<std::uint32_t>(key.purpose)}};
  const r123::Philox4x32::key_type seed = {
      {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)}};
  const r123::Philox4x32::ctr_type out = r123::Philox4x32()(counter, seed);
  return {{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

/// Entries 4 block ... 4 block + 3 of the sample's normals.
__device__ inline void device_normals(const RandomKey& key, std::uint32_t sample, std::uint32_t block,
                                      float (&normals)[4]) {
  const PhiloxBlock words = device_philox(key, sample, block);
  normal_pair(words.words[0], words.words[1], normals[0], normals[1]);
  normal_pair(words.words[2], words.words[3], normals[2], normals[3]);
}

}  // namespace tweedie
