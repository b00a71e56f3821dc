#include "diffusion/data/synthetic.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "diffusion/data/sources.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie::data {
namespace {

// Streams of Purpose::synthetic_data under seed 0; those of a pair are for train and test.
constexpr std::uint32_t gaussian_stream = 0, mixture_stream = 2, component_stream = 4, mean_stream = 6;

RandomKey key_of(std::uint32_t stream, Split split = Split::train) {
  return {.seed = 0, .purpose = Purpose::synthetic_data, .step = stream + static_cast<std::uint32_t>(split)};
}

ImageSet points(std::string name, Split split, std::int64_t dimension, std::span<const std::int64_t> positions,
                const std::vector<float>& values, std::vector<std::int64_t> labels, std::int64_t classes) {
  ImageSet set = make_image_set(std::move(name), split, {static_cast<std::int64_t>(positions.size()), 1, 1, dimension},
                                values, std::move(labels), classes);
  set.source_indices.assign(positions.begin(), positions.end());
  return set;
}

/// Rows of standard normals, one a position.
std::vector<float> normal_rows(const RandomKey& key, std::span<const std::int64_t> positions, std::int64_t dimension) {
  std::vector<float> values(positions.size() * static_cast<std::size_t>(dimension));
  parallel_for(static_cast<std::int64_t>(positions.size()), 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const auto sample = static_cast<std::uint32_t>(positions[static_cast<std::size_t>(i)]);
      for (std::int64_t k = 0; k < dimension; ++k)
        values[static_cast<std::size_t>(i * dimension + k)] = normal(key, sample, static_cast<std::uint32_t>(k));
    }
  });
  return values;
}

}  // namespace

std::int64_t synthetic_count(Split split) {
  return split == Split::train ? 60000 : 10000;
}

// The point sets of figure 1 of "Generalization through variance" (Vastola, 2025).
ImageSet point_set(std::string_view kind) {
  std::vector<float> xy;
  constexpr int points_each = 6;
  if (kind == "polygon") {
    for (int m = 0; m < points_each; ++m) {
      const double angle = 2 * std::numbers::pi * m / points_each;
      xy.insert(xy.end(), {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
    }
  } else if (kind == "line") {
    for (int m = 0; m < points_each; ++m) {
      const auto at = static_cast<float>(-1 + 2.0 * m / (points_each - 1));
      xy.insert(xy.end(), {at, at});
    }
  } else if (kind == "blend") {
    xy = {-1, -1, -1, 0, -1, 1, 0, -1, 0.5f, -1, 1, -1};
  } else if (kind == "random") {
    xy = {-1, -1, -0.9f, 1, -0.3f, 0.2f, 0.1f, -0.1f, 0.2f, -0.1f, 0.9f, 0.7f};
  } else {
    throw UsageError(fmt::format("data 'points:{}' are unknown; expected points:polygon, line, blend or random", kind));
  }
  return make_image_set(fmt::format("points:{}", kind), Split::train, {points_each, 1, 1, 2}, xy);
}

Source gaussian_source(std::int64_t dimension, Split split) {
  return {.count = synthetic_count(split),
          .labels = {},
          .classes = 0,
          .build = [dimension, split](std::span<const std::int64_t> positions) {
            return points(fmt::format("gaussian:{}", dimension), split, dimension, positions,
                          normal_rows(key_of(gaussian_stream, split), positions, dimension), {}, 0);
          }};
}

MixtureParameters parse_mixture(std::string_view parameters) {
  double values[4] = {0, 0, 1, 0.25};
  std::size_t count = 0;
  bool good = true;
  for (std::size_t at = 0; good && at <= parameters.size();) {
    const std::size_t comma = std::min(parameters.find(',', at), parameters.size());
    const char* end = parameters.data() + comma;
    good = count < 4;
    if (good) {
      const auto [after, error] = std::from_chars(parameters.data() + at, end, values[count++]);
      good = error == std::errc() && after == end;
    }
    at = comma + 1;
  }
  constexpr double largest = 1e6;
  const auto whole = [](double value) { return value >= 1 && value <= largest && value == std::floor(value); };
  if (!good || count < 2 || !whole(values[0]) || !whole(values[1]) || values[0] * values[1] > 1e8 ||
      !(values[2] >= 0 && values[2] <= largest) || !(values[3] > 0 && values[3] <= largest)) {
    throw UsageError(
        fmt::format("data 'mixture:{}': expected mixture:COMPONENTS,DIMENSION[,SPREAD[,DEVIATION]], whole "
                    "numbers of at least 1, a spread of at least 0 and a deviation above 0",
                    parameters));
  }
  MixtureParameters mixture{.components = static_cast<std::int64_t>(values[0]),
                            .dimension = static_cast<std::int64_t>(values[1]),
                            .deviation = values[3],
                            .means = {}};
  for (std::int64_t k = 0; k < mixture.components; ++k)
    for (std::int64_t i = 0; i < mixture.dimension; ++i)
      mixture.means.push_back(values[2] * static_cast<double>(normal(key_of(mean_stream), static_cast<std::uint32_t>(k),
                                                                     static_cast<std::uint32_t>(i))));
  return mixture;
}

Source mixture_source(std::string_view parameters, Split split) {
  MixtureParameters mixture = parse_mixture(parameters);
  Source source{.count = synthetic_count(split), .labels = {}, .classes = mixture.components, .build = {}};
  for (std::int64_t i = 0; i < source.count; ++i) {
    source.labels.push_back(
        uniform_integer(key_of(component_stream, split), static_cast<std::uint32_t>(i), mixture.components));
  }
  source.build = [mixture = std::move(mixture), labels = source.labels, split,
                  name = fmt::format("mixture:{}", parameters)](std::span<const std::int64_t> positions) {
    std::vector<float> values = normal_rows(key_of(mixture_stream, split), positions, mixture.dimension);
    std::vector<std::int64_t> chosen;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      chosen.push_back(labels[static_cast<std::size_t>(positions[i])]);
      for (std::int64_t k = 0; k < mixture.dimension; ++k) {
        float& value = values[i * static_cast<std::size_t>(mixture.dimension) + static_cast<std::size_t>(k)];
        value = static_cast<float>(mixture.means[static_cast<std::size_t>(chosen.back() * mixture.dimension + k)] +
                                   mixture.deviation * static_cast<double>(value));
      }
    }
    return points(name, split, mixture.dimension, positions, values, std::move(chosen), mixture.components);
  };
  return source;
}

}  // namespace tweedie::data
