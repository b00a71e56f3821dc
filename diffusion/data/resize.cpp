#include <algorithm>
#include <bit>
#include <cstring>

#include "diffusion/data/image_set.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::data {
namespace {

/// How much of each old pixel, from `first` on, lies under one new pixel; the weights add up to 1.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

std::vector<Taps> area_taps(std::int64_t from, std::int64_t to) {
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    // In units of 1/to of an old pixel the new one spans [i from, (i + 1) from), an old one j spans [j to, (j + 1) to).
    const std::int64_t begin = i * from, end = begin + from;
    Taps& tap = taps[static_cast<std::size_t>(i)];
    tap.first = begin / to;
    for (std::int64_t j = tap.first; j * to < end; ++j) {
      const std::int64_t overlap = std::min(end, (j + 1) * to) - std::max(begin, j * to);
      tap.weights.push_back(static_cast<double>(overlap) / static_cast<double>(from));
    }
  }
  return taps;
}

/// (rows, cols, channels) doubles to (to, to, channels), columns first.
void resample(std::span<const double> from, std::int64_t side, std::int64_t channels, const std::vector<Taps>& taps,
              std::vector<double>& half, std::vector<double>& out) {
  const std::int64_t to = static_cast<std::int64_t>(taps.size());
  const auto weighted = [&](const double* first, std::int64_t stride, const Taps& tap) {
    double sum = 0;
    for (std::size_t k = 0; k < tap.weights.size(); ++k)
      sum += tap.weights[k] * first[(tap.first + static_cast<std::int64_t>(k)) * stride];
    return sum;
  };
  half.resize(static_cast<std::size_t>(side * to * channels));
  out.resize(static_cast<std::size_t>(to * to * channels));
  for (std::int64_t row = 0; row < side; ++row)
    for (std::int64_t col = 0; col < to; ++col)
      for (std::int64_t c = 0; c < channels; ++c)
        half[static_cast<std::size_t>((row * to + col) * channels + c)] =
            weighted(from.data() + row * side * channels + c, channels, taps[static_cast<std::size_t>(col)]);
  for (std::int64_t row = 0; row < to; ++row)
    for (std::int64_t rest = 0; rest < to * channels; ++rest)
      out[static_cast<std::size_t>(row * to * channels + rest)] =
          weighted(half.data() + rest, to * channels, taps[static_cast<std::size_t>(row)]);
}

template <class T>
io::Bytes padded(const ImageSet& set, std::int64_t side, T black) {
  const std::int64_t margin = (side - set.width) / 2, row_values = set.width * set.channels;
  io::Bytes bytes(static_cast<std::size_t>(set.count * side * side * set.channels) * sizeof(T));
  T* out = reinterpret_cast<T*>(bytes.data());
  std::fill_n(out, set.count * side * side * set.channels, black);
  const T* in = set.pixels().as<T>();
  for (std::int64_t row = 0; row < set.count * set.height; ++row) {
    const std::int64_t image = row / set.height, y = row % set.height + margin;
    std::copy_n(in + row * row_values, row_values, out + ((image * side + y) * side + margin) * set.channels);
  }
  return bytes;
}

}  // namespace

ImageSet ImageSet::resized(std::int64_t resolution) const {
  if (resolution < 1) throw UsageError(fmt::format("resolution {} must be at least 1", resolution));
  if (height == resolution && width == resolution) return *this;
  if (height != width || height == 1) {
    throw UsageError(fmt::format("resolution {}: {} has {} x {} pixels an image, only square images are resized",
                                 resolution, name, height, width));
  }
  constexpr std::int64_t unpadded = 28, padded_side = 32;
  ImageSet from = *this;
  if (height == unpadded && std::has_single_bit(static_cast<std::uint64_t>(resolution))) {
    from.height = from.width = padded_side;
    from.storage = std::make_shared<const io::Bytes>(dtype == DType::uint8 ? padded<std::uint8_t>(*this, padded_side, 0)
                                                                           : padded<float>(*this, padded_side, -1.0f));
    if (resolution == padded_side) return from;
  }
  const std::vector<Taps> taps = area_taps(from.height, resolution);
  const std::int64_t old_d = from.dimension(), new_d = resolution * resolution * channels;
  io::Bytes bytes(static_cast<std::size_t>(count * new_d) * sizeof(float));
  float* out = reinterpret_cast<float*>(bytes.data());
  const bool from_bytes = dtype == DType::uint8;
  parallel_for(count, 64, [&](std::int64_t first, std::int64_t last) {
    std::vector<double> image(static_cast<std::size_t>(old_d)), half, result;
    for (std::int64_t i = first; i < last; ++i) {
      if (from_bytes) {
        std::copy_n(from.pixels().as<std::uint8_t>() + i * old_d, old_d, image.begin());
      } else {
        std::copy_n(from.pixels().as<float>() + i * old_d, old_d, image.begin());
      }
      resample(image, from.height, channels, taps, half, result);
      for (std::int64_t k = 0; k < new_d; ++k) {
        const double value = result[static_cast<std::size_t>(k)];
        out[i * new_d + k] = static_cast<float>(from_bytes ? value / 127.5 - 1.0 : value);
      }
    }
  });
  from.height = from.width = resolution;
  from.dtype = DType::float32;
  from.storage = std::make_shared<const io::Bytes>(std::move(bytes));
  return from;
}

}  // namespace tweedie::data
