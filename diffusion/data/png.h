#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "nn/io/file.h"

namespace tweedie::data {

/// Eight-bit pixels, (H, W, C) row-major, C = 1 (grey) or 3 (RGB).
struct Picture {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 1;
  std::vector<std::uint8_t> pixels;
};

/// Reads 8-bit grey or RGB, interlaced or not; the values as stored, without colour correction. Any other kind
/// (palette, alpha, 16 bit ...), a truncated or a corrupt file is an Error naming `name`.
Picture decode_png(io::ByteView file, std::string_view name);
Picture read_png(const std::filesystem::path& path);

io::Bytes encode_png(const Picture& picture);
/// Atomic, as all writing.
void write_png(const std::filesystem::path& path, const Picture& picture);

struct GridOptions {
  std::int64_t columns = 0;  // 0: the smallest square that holds all images
  std::int64_t padding = 1;  // black pixels between and around the images
  std::int64_t scale = 1;    // each pixel becomes scale x scale
};

/// Images (N, H, W, C) of floats, C = 1 or 3, in rows from the top left; -1 is black, 1 white, values outside are
/// clamped. Throws Error where a value is not a number.
Picture image_grid(std::span<const float> images, std::int64_t height, std::int64_t width, std::int64_t channels,
                   const GridOptions& options = {});

}  // namespace tweedie::data
