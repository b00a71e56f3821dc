#include "diffusion/data/selection.h"

#include <algorithm>
#include <numeric>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie::data {
namespace {

// Streams of one seed: the plain choice, the order of the classes, and each class's own.
constexpr std::uint32_t class_order_stream = 1;
constexpr std::uint32_t class_stream = 2;
constexpr std::uint32_t growth_stream = 1u << 20;  // above every class's stream of a balanced choice

std::vector<std::vector<std::int64_t>> shuffled_by_class(std::span<const std::int64_t> positions,
                                                         std::span<const std::int64_t> labels, std::int64_t classes,
                                                         std::uint64_t seed, std::uint32_t first_stream) {
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(classes));
  for (std::int64_t position : positions) {
    members[static_cast<std::size_t>(labels[static_cast<std::size_t>(position)])].push_back(position);
  }
  for (std::size_t label = 0; label < members.size(); ++label) {
    const std::int64_t size = static_cast<std::int64_t>(members[label].size());
    std::vector<std::int64_t> order = choose(size, size, seed, first_stream + static_cast<std::uint32_t>(label));
    for (std::int64_t& entry : order) entry = members[label][static_cast<std::size_t>(entry)];
    members[label] = std::move(order);
  }
  return members;
}

}  // namespace

std::vector<std::int64_t> choose(std::int64_t count, std::int64_t size, std::uint64_t seed, std::uint32_t stream) {
  require(size >= 0 && size <= count, "choose: {} of {} positions", size, count);
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const RandomKey key{.seed = seed, .purpose = Purpose::subset, .step = stream};
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t other = i + uniform_integer(key, static_cast<std::uint32_t>(i), count - i);
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(other)]);
  }
  order.resize(static_cast<std::size_t>(size));
  return order;
}

std::vector<std::int64_t> choose_balanced(std::span<const std::int64_t> labels, std::int64_t classes, std::int64_t size,
                                          std::uint64_t seed) {
  const std::int64_t count = static_cast<std::int64_t>(labels.size());
  require(size >= 0 && size <= count, "choose_balanced: {} of {} positions", size, count);
  std::vector<std::int64_t> all(labels.size());
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const auto members = shuffled_by_class(all, labels, classes, seed, class_stream);
  const std::vector<std::int64_t> order = choose(classes, classes, seed, class_order_stream);
  std::vector<std::int64_t> chosen;
  for (std::size_t round = 0; static_cast<std::int64_t>(chosen.size()) < size; ++round) {
    for (std::int64_t label : order) {
      const auto& members_of_class = members[static_cast<std::size_t>(label)];
      if (round < members_of_class.size() && static_cast<std::int64_t>(chosen.size()) < size) {
        chosen.push_back(members_of_class[round]);
      }
    }
  }
  return chosen;
}

std::vector<std::int64_t> grow_balanced(std::span<const std::int64_t> candidates, std::span<const std::int64_t> labels,
                                        std::vector<std::int64_t> held, std::int64_t size, std::uint64_t seed) {
  const std::int64_t count = static_cast<std::int64_t>(candidates.size());
  require(size >= 0 && size <= count, "grow_balanced: {} of {} candidates", size, count);
  if (labels.empty()) {
    std::vector<std::int64_t> chosen = choose(count, size, seed, growth_stream);
    for (std::int64_t& entry : chosen) entry = candidates[static_cast<std::size_t>(entry)];
    return chosen;
  }
  const std::int64_t classes = static_cast<std::int64_t>(held.size());
  const auto members = shuffled_by_class(candidates, labels, classes, seed, growth_stream + class_stream);
  const std::vector<std::int64_t> order = choose(classes, classes, seed, growth_stream + class_order_stream);
  std::vector<std::size_t> taken(held.size(), 0);
  std::vector<std::int64_t> chosen;
  while (static_cast<std::int64_t>(chosen.size()) < size) {
    std::int64_t best = -1;
    for (std::int64_t label : order) {
      const auto c = static_cast<std::size_t>(label);
      if (taken[c] < members[c].size() && (best < 0 || held[c] < held[static_cast<std::size_t>(best)])) best = label;
    }
    const auto c = static_cast<std::size_t>(best);
    chosen.push_back(members[c][taken[c]++]);
    ++held[c];
  }
  return chosen;
}

}  // namespace tweedie::data
