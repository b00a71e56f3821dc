#include "diffusion/data/image_set.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <unordered_set>

#include "diffusion/data/selection.h"
#include "kernels/runtime/parallel.h"

namespace tweedie::data {
namespace {

void check_size(const ImageSet& set, std::int64_t size, std::string_view what) {
  if (size < 1 || size > set.count) {
    throw UsageError(
        fmt::format("{}: {} images asked for, {} ({}) has {}", what, size, set.name, name_of(set.split), set.count));
  }
}

}  // namespace

std::string_view name_of(Split split) {
  return split == Split::train ? "train" : "test";
}

Split parse_split(std::string_view text) {
  if (text == "train") return Split::train;
  if (text == "test") return Split::test;
  throw UsageError(fmt::format("split '{}' is unknown, expected train or test", text));
}

Array ImageSet::pixels() const {
  // Kernels take all operands as Array; the data are only read.
  return {const_cast<std::byte*>(storage->data()), shape(), dtype};
}

std::span<const std::uint8_t> ImageSet::bytes() const {
  return {pixels().as<std::uint8_t>(), static_cast<std::size_t>(count * dimension())};
}

std::span<const float> ImageSet::floats() const {
  return {pixels().as<float>(), static_cast<std::size_t>(count * dimension())};
}

void ImageSet::copy_float(std::int64_t index, std::span<float> out) const {
  const std::int64_t d = dimension();
  require(index >= 0 && index < count && static_cast<std::int64_t>(out.size()) == d,
          "{}: image {} of {} into {} floats, an image has {}", name, index, count, out.size(), d);
  if (dtype == DType::float32) {
    std::memcpy(out.data(), pixels().as<float>() + index * d, out.size() * sizeof(float));
    return;
  }
  const std::uint8_t* from = pixels().as<std::uint8_t>() + index * d;
  for (std::int64_t i = 0; i < d; ++i) out[static_cast<std::size_t>(i)] = static_cast<float>(from[i]) / 127.5f - 1.0f;
}

std::vector<float> ImageSet::to_float() const {
  const std::int64_t d = dimension();
  std::vector<float> out(static_cast<std::size_t>(count * d));
  parallel_for(count, 256, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) copy_float(i, std::span(out).subspan(i * d, d));
  });
  return out;
}

ImageSet ImageSet::selected(std::span<const std::int64_t> positions) const {
  ImageSet out = *this;
  out.count = static_cast<std::int64_t>(positions.size());
  out.labels.clear();
  out.source_indices.clear();
  const std::size_t image_bytes = static_cast<std::size_t>(dimension()) * size_of(dtype);
  io::Bytes pixels(positions.size() * image_bytes);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const std::int64_t position = positions[i];
    require(position >= 0 && position < count, "{}: image {} of {} selected", name, position, count);
    const auto from = static_cast<std::size_t>(position);
    std::memcpy(pixels.data() + i * image_bytes, storage->data() + from * image_bytes, image_bytes);
    if (!labels.empty()) out.labels.push_back(labels[from]);
    out.source_indices.push_back(source_indices[from]);
  }
  out.storage = std::make_shared<const io::Bytes>(std::move(pixels));
  return out;
}

ImageSet ImageSet::subset(std::int64_t size, std::uint64_t seed) const {
  check_size(*this, size, "subset");
  return selected(choose(count, size, seed));
}

ImageSet ImageSet::balanced_subset(std::int64_t size, std::uint64_t seed) const {
  check_size(*this, size, "balanced subset");
  require(!labels.empty(), "balanced subset: {} has no labels", name);
  return selected(choose_balanced(labels, classes, size, seed));
}

ImageSet ImageSet::superset(const ImageSet& part, double ratio, std::uint64_t seed) const {
  const double wanted = std::round(ratio * static_cast<double>(part.count));
  if (!(wanted >= static_cast<double>(part.count) && wanted <= static_cast<double>(count))) {
    throw UsageError(fmt::format("superset: ratio {} of {} images is not between {} and {}, the size of {} ({})", ratio,
                                 part.count, part.count, count, name, name_of(split)));
  }
  require(part.name == name && part.split == split && part.height == height && part.width == width,
          "superset: the subset comes from {} ({}), not from {} ({})", part.name, name_of(part.split), name,
          name_of(split));
  const std::unordered_set<std::int64_t> inside(part.source_indices.begin(), part.source_indices.end());
  std::vector<std::int64_t> positions(static_cast<std::size_t>(part.count), -1), rest;
  std::vector<std::pair<std::int64_t, std::int64_t>> by_source;  // (source index, place in the subset)
  for (std::int64_t i = 0; i < part.count; ++i) {
    by_source.emplace_back(part.source_indices[static_cast<std::size_t>(i)], i);
  }
  std::sort(by_source.begin(), by_source.end());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t source = source_indices[static_cast<std::size_t>(i)];
    if (!inside.contains(source)) {
      rest.push_back(i);
      continue;
    }
    const auto found = std::lower_bound(by_source.begin(), by_source.end(), std::pair(source, std::int64_t{0}));
    positions[static_cast<std::size_t>(found->second)] = i;
  }
  require(std::find(positions.begin(), positions.end(), -1) == positions.end(),
          "superset: the subset holds images that {} ({}) does not", name, name_of(split));
  std::vector<std::int64_t> held(static_cast<std::size_t>(classes), 0);
  for (std::int64_t label : part.labels) ++held[static_cast<std::size_t>(label)];
  const std::vector<std::int64_t> grown =
      grow_balanced(rest, labels, std::move(held), static_cast<std::int64_t>(wanted) - part.count, seed);
  positions.insert(positions.end(), grown.begin(), grown.end());
  return selected(positions);
}

ImageSet ImageSet::with_classes(std::span<const std::int64_t> wanted) const {
  if (labels.empty()) throw UsageError(fmt::format("classes: {} has no labels", name));
  for (std::int64_t label : wanted) {
    if (std::find(labels.begin(), labels.end(), label) == labels.end())
      throw UsageError(fmt::format("classes: {} ({}) has no image of class {}, its classes are 0 to {}", name,
                                   name_of(split), label, classes - 1));
  }
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::find(wanted.begin(), wanted.end(), labels[static_cast<std::size_t>(i)]) != wanted.end())
      positions.push_back(i);
  }
  return selected(positions);
}

ImageSet make_image_set(std::string name, Split split, const Shape& shape, DType dtype, io::Bytes pixels,
                        std::vector<std::int64_t> labels, std::int64_t classes) {
  require(shape.rank() == 4 && shape.count() > 0, "{}: holds no images: shape (N, H, W, C) is {}", name, shape);
  require(dtype == DType::uint8 || dtype == DType::float32, "{}: pixels are {}, expected uint8 or float32", name,
          name_of(dtype));
  require(pixels.size() == static_cast<std::size_t>(shape.count()) * size_of(dtype),
          "{}: {} bytes of pixels do not fill shape {} of {}", name, pixels.size(), shape, name_of(dtype));
  require(labels.empty() || static_cast<std::int64_t>(labels.size()) == shape[0], "{}: {} labels for {} images", name,
          labels.size(), shape[0]);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] >= 0 && labels[i] < classes, "{}: label {} of image {} is outside 0 to {}", name, labels[i], i,
            classes - 1);
  }
  ImageSet set{.name = std::move(name),
               .split = split,
               .count = shape[0],
               .height = shape[1],
               .width = shape[2],
               .channels = shape[3],
               .dtype = dtype,
               .storage = std::make_shared<const io::Bytes>(std::move(pixels)),
               .labels = std::move(labels),
               .classes = classes,
               .source_indices = std::vector<std::int64_t>(static_cast<std::size_t>(shape[0]))};
  std::iota(set.source_indices.begin(), set.source_indices.end(), std::int64_t{0});
  if (dtype == DType::float32) {
    const auto values = set.floats();
    const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
    require(bad == values.end(), "{}: image {} holds {}", set.name, (bad - values.begin()) / set.dimension(),
            bad == values.end() ? 0.0f : *bad);
  }
  return set;
}

ImageSet make_image_set(std::string name, Split split, const Shape& shape, std::span<const float> pixels,
                        std::vector<std::int64_t> labels, std::int64_t classes) {
  const io::ByteView bytes = std::as_bytes(pixels);
  return make_image_set(std::move(name), split, shape, DType::float32, io::Bytes(bytes.begin(), bytes.end()),
                        std::move(labels), classes);
}

}  // namespace tweedie::data
