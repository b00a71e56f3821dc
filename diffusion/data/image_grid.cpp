#include <algorithm>
#include <cmath>

#include "diffusion/data/png.h"

namespace tweedie::data {

Picture image_grid(std::span<const float> images, std::int64_t height, std::int64_t width, std::int64_t channels,
                   const GridOptions& options) {
  const std::int64_t d = height * width * channels;
  require(height > 0 && width > 0 && (channels == 1 || channels == 3),
          "image_grid: images of {} x {} pixels and {} channels, expected 1 or 3 channels", height, width, channels);
  require(!images.empty() && static_cast<std::int64_t>(images.size()) % d == 0,
          "image_grid: {} values are not a whole number of images of {}", images.size(), d);
  require(options.columns >= 0 && options.padding >= 0 && options.scale >= 1,
          "image_grid: columns {}, padding {} or scale {} is out of range", options.columns, options.padding,
          options.scale);
  const std::int64_t count = static_cast<std::int64_t>(images.size()) / d;
  const std::int64_t columns = options.columns > 0
                                   ? options.columns
                                   : static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const std::int64_t rows = (count + columns - 1) / columns, scale = options.scale, padding = options.padding;
  const std::int64_t cell_height = height * scale + padding, cell_width = width * scale + padding;
  Picture picture{.height = rows * cell_height + padding,
                  .width = columns * cell_width + padding,
                  .channels = channels,
                  .pixels = {}};
  picture.pixels.assign(static_cast<std::size_t>(picture.height * picture.width * channels), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = (i / columns) * cell_height + padding, left = (i % columns) * cell_width + padding;
    for (std::int64_t y = 0; y < height * scale; ++y)
      for (std::int64_t x = 0; x < width * scale; ++x)
        for (std::int64_t c = 0; c < channels; ++c) {
          const float value =
              images[static_cast<std::size_t>(i * d + ((y / scale) * width + x / scale) * channels + c)];
          require(!std::isnan(value), "image_grid: image {} holds a value that is not a number", i);
          picture.pixels[static_cast<std::size_t>(((top + y) * picture.width + left + x) * channels + c)] =
              static_cast<std::uint8_t>(std::lround((std::clamp(value, -1.0f, 1.0f) + 1.0f) * 127.5f));
        }
  }
  return picture;
}

}  // namespace tweedie::data
