#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/data/sources.h"
#include "diffusion/data/synthetic.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie::data {
namespace {

constexpr std::uint32_t shapes_stream = 16;
constexpr std::int64_t default_resolution = 32, kinds = 3, points_a_side = 4;

/// Whether the point (x, y), relative to the centre and in units of the radius, lies in the unturned shape.
bool covers(std::int64_t kind, double x, double y) {
  if (kind == 0) return x * x + y * y <= 1;
  if (kind == 1) return std::max(std::abs(x), std::abs(y)) <= std::numbers::sqrt2 / 2;
  // Three half-planes at half the circumscribed radius.
  const double slope = std::numbers::sqrt3 / 2;
  return y <= 0.5 && -0.5 * y + slope * x <= 0.5 && -0.5 * y - slope * x <= 0.5;
}

void draw(const ShapeFactors& factors, std::int64_t resolution, std::int64_t channels, std::byte* pixels) {
  const double cosine = std::cos(factors.angle), sine = std::sin(factors.angle);
  constexpr std::int64_t points = points_a_side * points_a_side;
  for (std::int64_t pixel = 0; pixel < resolution * resolution; ++pixel) {
    std::int64_t covered = 0;
    for (std::int64_t point = 0; point < points; ++point) {
      const auto place = [&](std::int64_t whole, std::int64_t part) {
        return (static_cast<double>(whole) + (static_cast<double>(part) + 0.5) / points_a_side) /
               static_cast<double>(resolution);
      };
      const double x = (place(pixel % resolution, point % points_a_side) - factors.x) / factors.radius;
      const double y = (place(pixel / resolution, point / points_a_side) - factors.y) / factors.radius;
      covered += covers(factors.kind, cosine * x + sine * y, cosine * y - sine * x) ? 1 : 0;
    }
    const double share = static_cast<double>(covered) / points;
    for (std::int64_t c = 0; c < channels; ++c) {
      pixels[pixel * channels + c] =
          static_cast<std::byte>(std::lround(255 * share * factors.intensity[static_cast<std::size_t>(c)]));
    }
  }
}

}  // namespace

ShapeFactors shape_factors(std::int64_t index, Split split) {
  const RandomKey key{
      .seed = 0, .purpose = Purpose::synthetic_data, .step = shapes_stream + static_cast<std::uint32_t>(split)};
  const auto between = [&](std::uint32_t position, double low, double high) {
    return low + (high - low) * uniform(key, static_cast<std::uint32_t>(index), position);
  };
  return {.kind = static_cast<std::int64_t>(between(0, 0, kinds)),
          .x = between(1, 0.3, 0.7),
          .y = between(2, 0.3, 0.7),
          .radius = between(3, 0.12, 0.3),
          .angle = between(4, 0, 2 * std::numbers::pi),
          .intensity = {between(5, 0.4, 1), between(6, 0.4, 1), between(7, 0.4, 1)}};
}

Source shapes_source(bool colour, const DataRequest& request) {
  const std::int64_t resolution = request.resolution > 0 ? request.resolution : default_resolution;
  const std::int64_t channels = colour ? 3 : 1;
  const Split split = request.split;
  Source source{.count = synthetic_count(split), .labels = {}, .classes = kinds, .build = {}};
  for (std::int64_t i = 0; i < source.count; ++i) source.labels.push_back(shape_factors(i, split).kind);
  source.build = [=](std::span<const std::int64_t> positions) {
    const auto count = static_cast<std::int64_t>(positions.size());
    const std::int64_t d = resolution * resolution * channels;
    io::Bytes pixels(static_cast<std::size_t>(count * d));
    std::vector<std::int64_t> labels(positions.size());
    parallel_for(count, 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const ShapeFactors factors = shape_factors(positions[static_cast<std::size_t>(i)], split);
        labels[static_cast<std::size_t>(i)] = factors.kind;
        draw(factors, resolution, channels, pixels.data() + i * d);
      }
    });
    ImageSet set = make_image_set(colour ? "shapes:rgb" : "shapes", split, {count, resolution, resolution, channels},
                                  DType::uint8, std::move(pixels), std::move(labels), kinds);
    set.source_indices.assign(positions.begin(), positions.end());
    return set;
  };
  return source;
}

}  // namespace tweedie::data
