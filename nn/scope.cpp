#include "nn/scope.h"

#include <cmath>
#include <vector>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

/// draw(key, stream, position) for every element. Seed, purpose and both halves of the name's hash make the key.
template <class Draw>
Tensor drawn(const Scope& scope, std::string_view name, const Shape& shape, const Draw& draw) {
  const std::uint64_t hash = hash_of(scope.join(name));
  const RandomKey key{scope.seed, Purpose::initialise_parameters, static_cast<std::uint32_t>(hash >> 32)};
  const auto stream = static_cast<std::uint32_t>(hash);
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  parallel_for(shape.count(), 4096, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      values[static_cast<std::size_t>(i)] = draw(key, stream, static_cast<std::uint32_t>(i));
  });
  return Tensor::from_host(std::span<const float>(values), shape, scope.device);
}

}  // namespace

std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return hash;
}

Tensor initial_uniform(const Scope& scope, std::string_view name, const Shape& shape, double bound) {
  return drawn(scope, name, shape, [bound](const RandomKey& key, std::uint32_t stream, std::uint32_t position) {
    return static_cast<float>(bound * (2.0 * uniform(key, stream, position) - 1.0));
  });
}

Tensor initial_normal(const Scope& scope, std::string_view name, const Shape& shape, double standard_deviation) {
  return drawn(scope, name, shape,
               [standard_deviation](const RandomKey& key, std::uint32_t stream, std::uint32_t position) {
                 return static_cast<float>(standard_deviation * normal(key, stream, position));
               });
}

}  // namespace tweedie
