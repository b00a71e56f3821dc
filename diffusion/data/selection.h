#pragma once

#include <cstdint>
#include <span>
#include <vector>

/// Choices of images by position alone, so that a data set built on demand makes only those that are chosen. All are
/// keyed by (seed, Purpose::subset) and each is the beginning of the longer choice with the same arguments.
namespace tweedie::data {

/// `size` of the positions 0 ... count-1 without replacement, in the order drawn (Fisher-Yates); `stream` tells apart
/// choices under one seed.
std::vector<std::int64_t> choose(std::int64_t count, std::int64_t size, std::uint64_t seed, std::uint32_t stream = 0);

/// `size` positions, taking the classes in turn (in an order drawn once) and skipping those that have no more.
std::vector<std::int64_t> choose_balanced(std::span<const std::int64_t> labels, std::int64_t classes, std::int64_t size,
                                          std::uint64_t seed);

/// `size` of `candidates` (positions), each from the class that has fewest so far, counting from `held` (images a class
/// at the start); with no labels, a plain choice.
std::vector<std::int64_t> grow_balanced(std::span<const std::int64_t> candidates, std::span<const std::int64_t> labels,
                                        std::vector<std::int64_t> held, std::int64_t size, std::uint64_t seed);

}  // namespace tweedie::data
