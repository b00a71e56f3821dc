#include <algorithm>

#include "diffusion/data/sources.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/random.h"

namespace tweedie::data {
namespace {

constexpr std::int64_t default_resolution = 16;

ImageSet build(std::int64_t k, const ImageSet& tiles, std::span<const std::int64_t> positions) {
  const std::int64_t tile = tiles.height, resolution = k * tile, d = resolution * resolution;
  const std::span<const float> from = tiles.floats();
  const RandomKey key{.purpose = Purpose::mosaic, .step = static_cast<std::uint32_t>(tiles.split)};
  std::vector<float> pixels(positions.size() * static_cast<std::size_t>(d));
  parallel_for(static_cast<std::int64_t>(positions.size()), 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const auto sample = static_cast<std::uint32_t>(positions[static_cast<std::size_t>(i)]);
      for (std::int64_t place = 0; place < k * k; ++place) {
        const std::int64_t source = uniform_integer(key, sample, tiles.count, static_cast<std::uint32_t>(place));
        for (std::int64_t row = 0; row < tile; ++row) {
          const std::int64_t to = i * d + ((place / k) * tile + row) * resolution + (place % k) * tile;
          std::copy_n(from.begin() + (source * tile + row) * tile, tile, pixels.begin() + to);
        }
      }
    }
  });
  ImageSet set = make_image_set(fmt::format("mosaic:{}", k), tiles.split,
                                {static_cast<std::int64_t>(positions.size()), resolution, resolution, 1}, pixels);
  set.source_indices.assign(positions.begin(), positions.end());
  return set;
}

}  // namespace

Source mosaic_source(std::int64_t k, const DataRequest& request) {
  const std::int64_t resolution = request.resolution > 0 ? request.resolution : default_resolution;
  if (resolution % k != 0) {
    throw UsageError(fmt::format("mosaic:{}: resolution {} must be a multiple of {}", k, resolution, k));
  }
  ImageSet images = load_fashion_mnist(request.folder, request.split);
  const std::int64_t count = images.count;
  ImageSet tiles = images.resized(resolution / k);
  if (tiles.dtype != DType::float32) {  // tiles of 28 or 32 pixels are not averaged
    tiles = make_image_set(tiles.name, tiles.split, tiles.shape(), tiles.to_float());
  }
  return {.count = count,
          .labels = {},
          .classes = 0,
          .build = [k, tiles = std::move(tiles)](std::span<const std::int64_t> positions) {
            return build(k, tiles, positions);
          }};
}

}  // namespace tweedie::data
