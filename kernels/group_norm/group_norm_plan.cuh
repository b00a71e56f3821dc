#pragma once

#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/values.cuh"

namespace tweedie {

/// How a plane (positions, channels) of each sample is cut: a block takes a few neighbouring groups, so many that their
/// channels fill whole sectors of 32 bytes, at all positions. `lanes` threads stand side by side on packs of channels,
/// the others of the block on further positions.
struct GroupNormPlan {
  std::int64_t samples, positions, channels, groups;
  int channels_of_group, groups_of_block;
  std::int64_t blocks_of_sample;
  int lanes = 1;        // a power of two
  bool staged = false;  // the block's values are kept in shared memory between the passes

  int channels_of_block() const { return groups_of_block * channels_of_group; }
};

/// Most groups that one block takes.
inline constexpr int most_groups = 128;

/// value_bytes: of an element of x. staged_planes: how many float32 values of every element are kept.
/// other_floats_a_channel: shared memory beside them.
inline GroupNormPlan plan_group_norm(Stream& stream, const Shape& x, std::int64_t groups, int width,
                                     std::int64_t value_bytes, int staged_planes, int other_floats_a_channel,
                                     std::size_t& shared_bytes) {
  GroupNormPlan plan{.samples = x[0], .positions = x[1], .channels = x[2], .groups = groups};
  const std::int64_t of_group = x[2] / groups;
  plan.channels_of_group = static_cast<int>(of_group);
  std::int64_t together = 1;
  if (of_group < most_groups / 2) {
    constexpr std::int64_t elements_worth_a_block = 4096;
    const std::int64_t sector = 32 / value_bytes;
    together = sector / std::gcd(of_group, sector);
    while (x[1] * together * of_group < elements_worth_a_block && 2 * together * of_group <= most_groups) together *= 2;
    together = std::min(together, groups);
  }
  plan.groups_of_block = static_cast<int>(together);
  plan.blocks_of_sample = (groups + together - 1) / together;
  const std::int64_t channels = plan.channels_of_block(), packs = (channels + width - 1) / width;
  plan.lanes =
      static_cast<int>(std::min<std::uint64_t>(block_threads, std::bit_ceil(static_cast<std::uint64_t>(packs))));
  constexpr std::size_t fixed_bytes = 16 << 10;  // what the kernels' own arrays may take
  const std::size_t others = sizeof(float) * static_cast<std::size_t>(other_floats_a_channel * channels);
  const std::size_t planes = sizeof(float) * static_cast<std::size_t>(staged_planes * plan.positions * channels);
  plan.staged = planes + others + fixed_bytes <= cuda_properties(stream).sharedMemPerBlockOptin;
  shared_bytes = others + (plan.staged ? planes : 0);
  return plan;
}

/// One block's part of a plane.
struct GroupNormBlock {
  std::int64_t sample;
  int first_group, groups, first_channel, channels;

  __device__ GroupNormBlock(const GroupNormPlan& plan, std::int64_t job)
      : sample(job / plan.blocks_of_sample),
        first_group(static_cast<int>(job % plan.blocks_of_sample) * plan.groups_of_block) {
    const std::int64_t rest = plan.groups - first_group;
    groups = rest < plan.groups_of_block ? static_cast<int>(rest) : plan.groups_of_block;
    first_channel = first_group * plan.channels_of_group;
    channels = groups * plan.channels_of_group;
  }
};

/// What surrounds the norm; all but gamma and beta may be null.
struct GroupNormOperands {
  const float *input_shift, *gamma, *beta, *scale, *shift;
};

/// m = normalised factor + addend, for one pack of channels of a sample.
template <int width>
struct GroupNormMap {
  Pack<float, width> added, factor, addend;  // added: the input_shift

  __device__ GroupNormMap(const GroupNormOperands& operands, std::int64_t at_sample, std::int64_t channel) {
    for (int k = 0; k < width; ++k) added[k] = 0.0f;
    if (operands.input_shift != nullptr) added = load<width>(operands.input_shift + at_sample + channel);
    factor = load<width>(operands.gamma + channel);
    addend = load<width>(operands.beta + channel);
    if (operands.scale == nullptr) return;
    const auto scale = load<width>(operands.scale + at_sample + channel);
    const auto shift = load<width>(operands.shift + at_sample + channel);
    for (int k = 0; k < width; ++k) {
      factor[k] *= 1.0f + scale[k];
      addend[k] = fmaf(addend[k], 1.0f + scale[k], shift[k]);
    }
  }
};

}  // namespace tweedie
