#pragma once

#include "diffusion/data/load.h"
#include "tests/nn/io_support.h"

namespace tweedie::data::testing {

using io::testing::fixture;
using io::testing::message_of;
using io::testing::TemporaryFolder;

/// `count` images of `side` x `side` x `channels` bytes, pixel k of all being (7 k) mod 256, with labels i mod classes.
inline ImageSet byte_images(std::int64_t count, std::int64_t side, std::int64_t channels, std::int64_t classes = 0) {
  io::Bytes pixels(static_cast<std::size_t>(count * side * side * channels));
  for (std::size_t k = 0; k < pixels.size(); ++k) pixels[k] = static_cast<std::byte>(7 * k % 256);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < count && classes > 0; ++i) labels.push_back(i % classes);
  return make_image_set("bytes", Split::train, {count, side, side, channels}, DType::uint8, std::move(pixels), labels,
                        classes);
}

}  // namespace tweedie::data::testing
