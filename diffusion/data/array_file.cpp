#include <algorithm>

#include "diffusion/data/sources.h"
#include "nn/io/npz.h"

namespace tweedie::data {
namespace {

constexpr std::int64_t largest_class = 1 << 20;

/// (N, C, H, W) as NHWC, elements of `T`.
template <class T>
io::Bytes channels_last(std::span<const T> from, const Shape& shape) {
  const std::int64_t n = shape[0], c = shape[1], area = shape[2] * shape[3];
  io::Bytes bytes(from.size_bytes());
  T* out = reinterpret_cast<T*>(bytes.data());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t channel = 0; channel < c; ++channel)
      for (std::int64_t pixel = 0; pixel < area; ++pixel)
        out[(i * area + pixel) * c + channel] = from[static_cast<std::size_t>((i * c + channel) * area + pixel)];
  return bytes;
}

ImageSet image_set_of(std::string_view name, io::HostArray array, std::vector<std::int64_t> labels) {
  require(array.dtype == DType::uint8 || is_floating(array.dtype),
          "{}: holds {}, expected uint8 (pixels of 0 to 255) or a floating type", array.name, name_of(array.dtype));
  const Shape& given = array.shape;
  require(given.rank() >= 2 && given.rank() <= 4, "{}: shape {}, expected (N, C, H, W), (N, H, W) or (N, D)",
          array.name, given);
  if (array.dtype == DType::float64) {
    const std::vector<float> values = io::to_float32(array);
    const io::ByteView bytes = std::as_bytes(std::span(values));
    array.data.assign(bytes.begin(), bytes.end());
    array.dtype = DType::float32;
  }
  Shape shape{given[0], 1, 1, given[1]};
  if (given.rank() == 3) shape = Shape{given[0], given[1], given[2], 1};
  if (given.rank() == 4) {
    shape = Shape{given[0], given[2], given[3], given[1]};
    const io::HostArray& planar = array;
    array.data = array.dtype == DType::uint8 ? channels_last(planar.as<std::uint8_t>(), given)
                                             : channels_last(planar.as<float>(), given);
  }
  const std::int64_t classes = labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1;
  return make_image_set(std::string(name), Split::train, shape, array.dtype, std::move(array.data), std::move(labels),
                        classes);
}

}  // namespace

ImageSet load_array_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  if (path.extension() == ".npy") return image_set_of(name, io::read_npy(path), {});
  std::map<std::string, io::HostArray> arrays = io::read_npz(path);
  std::vector<std::int64_t> labels;
  if (const auto found = arrays.find("labels"); found != arrays.end()) {
    const io::HostArray& array = found->second;
    require(array.shape.rank() == 1 && (array.dtype == DType::int64 || array.dtype == DType::uint8),
            "{}: {} of shape {}, expected integer labels of shape (N)", array.name, name_of(array.dtype), array.shape);
    for (std::int64_t i = 0; i < array.count(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      labels.push_back(array.dtype == DType::int64 ? array.as<std::int64_t>()[at] : array.as<std::uint8_t>()[at]);
      require(labels.back() >= 0 && labels.back() < largest_class, "{}: label {} of image {} is outside 0 to {}",
              array.name, labels.back(), i, largest_class - 1);
    }
    arrays.erase(found);
  }
  auto images = arrays.find("images");
  if (images == arrays.end() && arrays.size() == 1) images = arrays.begin();
  require(images != arrays.end(), "{}: holds {} arrays, expected one named 'images' (and labels in 'labels')", name,
          arrays.size());
  return image_set_of(name, std::move(images->second), std::move(labels));
}

}  // namespace tweedie::data
