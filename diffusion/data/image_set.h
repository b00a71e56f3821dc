#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/runtime/array.h"
#include "nn/io/host_array.h"

/// Data sets: images (or points) with their labels, and the ways to take a part of them.
namespace tweedie::data {

enum class Split : std::uint8_t { train, test };
std::string_view name_of(Split split);
/// "train" or "test"; UsageError for anything else.
Split parse_split(std::string_view text);

/// A finite set of images in host memory, (N, H, W, C) row-major. Points in R^D are images of 1 x 1 pixel with D
/// channels. Pixels are uint8 or float32; read as numbers, a uint8 v is v / 127.5 - 1 and a float is used as it is, so
/// black is -1 in both. Copies share the pixels, which never change.
struct ImageSet {
  std::string name;  // as given to load_data
  Split split = Split::train;
  std::int64_t count = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  DType dtype = DType::uint8;
  std::shared_ptr<const io::Bytes> storage;
  std::vector<std::int64_t> labels;          // one an image, in [0, classes); empty where the data have none
  std::int64_t classes = 0;                  // 0 without labels
  std::vector<std::int64_t> source_indices;  // each image's index in the whole data set that it came from

  /// Numbers per image, d = H W C.
  std::int64_t dimension() const { return height * width * channels; }
  Shape shape() const { return {count, height, width, channels}; }
  /// The pixels as a kernel takes them; it must not write to them.
  Array pixels() const;
  /// The pixels of a uint8 or a float32 set; Error for the other kind.
  std::span<const std::uint8_t> bytes() const;
  std::span<const float> floats() const;

  /// Image `index` as d floats.
  void copy_float(std::int64_t index, std::span<float> out) const;
  /// All images as (N, H, W, C) floats.
  std::vector<float> to_float() const;

  /// The images at `positions`, in that order.
  ImageSet selected(std::span<const std::int64_t> positions) const;
  /// `size` images drawn without replacement, in the order drawn: with one seed, a smaller subset is the beginning of a
  /// larger one. Throws UsageError when the set is smaller.
  ImageSet subset(std::int64_t size, std::uint64_t seed) const;
  /// The same with equally many images of each class (to one; more of the others once a class has no more).
  ImageSet balanced_subset(std::int64_t size, std::uint64_t seed) const;
  /// `part` followed by images of this set that are not in it, drawn without replacement, round(ratio * part.count)
  /// images in all; with labels, each new one from the class that has fewest so far. `part` must come from this set.
  /// With one seed, the superset of a smaller ratio is the beginning of that of a larger one.
  ImageSet superset(const ImageSet& part, double ratio, std::uint64_t seed) const;
  /// The images of these classes; labels and the number of classes stay as they are.
  ImageSet with_classes(std::span<const std::int64_t> wanted) const;
  /// Square images at `resolution`: 28 x 28 images are first padded to 32 x 32 with black (2 pixels a side) when
  /// `resolution` is a power of two; then each new pixel is the mean of the old image over its area (a box mean for
  /// whole factors). Padding alone keeps uint8, averaging gives float32.
  ImageSet resized(std::int64_t resolution) const;
};

/// A set around pixels of uint8 or float32; checks sizes, labels (in [0, classes)) and that floats are finite.
/// source_indices become 0, 1, 2 ...
ImageSet make_image_set(std::string name, Split split, const Shape& shape, DType dtype, io::Bytes pixels,
                        std::vector<std::int64_t> labels = {}, std::int64_t classes = 0);
ImageSet make_image_set(std::string name, Split split, const Shape& shape, std::span<const float> pixels,
                        std::vector<std::int64_t> labels = {}, std::int64_t classes = 0);

}  // namespace tweedie::data
