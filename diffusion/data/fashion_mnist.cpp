#include <algorithm>

#include "diffusion/data/idx.h"
#include "diffusion/data/sources.h"

namespace tweedie::data {
namespace {

constexpr std::string_view package_folder = "/usr/share/datasets/fashion-mnist";

std::filesystem::path find(const std::filesystem::path& folder, const std::string& file) {
  for (const std::string& name : {file + ".gz", file})
    if (std::filesystem::exists(folder / name)) return folder / name;
  fail(
      "fashion-mnist: {} is missing in {}; install the Debian package dataset-fashion-mnist, or name the folder that "
      "holds the files",
      file + ".gz", folder.string());
}

std::vector<std::int64_t> labels_of(const io::HostArray& array) {
  require(array.shape.rank() == 1, "{}: shape {}, expected (N) labels", array.name, array.shape);
  const auto values = array.as<std::uint8_t>();
  return {values.begin(), values.end()};
}

ImageSet image_set_of(std::string name, Split split, io::HostArray images, std::vector<std::int64_t> labels,
                      std::int64_t classes) {
  require(images.shape.rank() == 3, "{}: shape {}, expected (N, H, W) images", images.name, images.shape);
  require(labels.empty() || static_cast<std::int64_t>(labels.size()) == images.shape[0],
          "{}: holds {} images, its label file {}", images.name, images.shape[0], labels.size());
  const Shape shape{images.shape[0], images.shape[1], images.shape[2], 1};
  return make_image_set(std::move(name), split, shape, DType::uint8, std::move(images.data), std::move(labels),
                        classes);
}

}  // namespace

ImageSet load_fashion_mnist(const std::filesystem::path& folder, Split split) {
  const std::filesystem::path where = folder.empty() ? std::filesystem::path(package_folder) : folder;
  const std::string prefix = split == Split::train ? "train" : "t10k";
  constexpr std::int64_t classes = 10;
  io::HostArray images = read_idx(find(where, prefix + "-images-idx3-ubyte"));
  return image_set_of("fashion-mnist", split, std::move(images),
                      labels_of(read_idx(find(where, prefix + "-labels-idx1-ubyte"))), classes);
}

ImageSet load_idx_pair(std::string_view files) {
  const std::size_t comma = files.find(',');
  std::vector<std::int64_t> labels;
  if (comma != std::string_view::npos) labels = labels_of(read_idx(files.substr(comma + 1)));
  const std::int64_t classes = labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1;
  return image_set_of(fmt::format("idx:{}", files), Split::train, read_idx(files.substr(0, comma)), std::move(labels),
                      classes);
}

}  // namespace tweedie::data
