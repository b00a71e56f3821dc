#include <algorithm>

#include "diffusion/data/png.h"
#include "diffusion/data/sources.h"

namespace tweedie::data {
namespace {

using Path = std::filesystem::path;

std::vector<Path> sorted_entries(const Path& folder, bool folders) {
  std::vector<Path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (folders ? entry->is_directory() : entry->path().extension() == ".png") found.push_back(entry->path());
  }
  require(!error, "cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

ImageSet load_png_folder(const Path& folder, Split split) {
  const bool split_folders = std::filesystem::is_directory(folder / "train");
  if (split == Split::test && !split_folders) {
    throw UsageError(
        fmt::format("data '{}' have no test split: the folder holds no 'train' and 'test'", folder.string()));
  }
  const Path where = split_folders ? folder / std::string(name_of(split)) : folder;
  std::vector<Path> files = sorted_entries(where, false);
  std::vector<std::int64_t> labels;
  std::int64_t classes = 0;
  if (files.empty()) {
    for (const Path& class_folder : sorted_entries(where, true)) {
      const std::vector<Path> members = sorted_entries(class_folder, false);
      files.insert(files.end(), members.begin(), members.end());
      labels.insert(labels.end(), members.size(), classes++);
    }
  }
  require(!files.empty(), "{}: holds no .png files, neither itself nor in folders one a class", where.string());
  io::Bytes pixels;
  Shape shape;
  for (const Path& file : files) {
    const Picture picture = read_png(file);
    const Shape found{static_cast<std::int64_t>(files.size()), picture.height, picture.width, picture.channels};
    if (pixels.empty()) shape = found;
    require(found == shape, "{}: {} x {} pixels and {} channels, but {} has {} x {} and {}; all must be alike",
            file.string(), found[1], found[2], found[3], files.front().string(), shape[1], shape[2], shape[3]);
    const io::ByteView bytes = std::as_bytes(std::span(picture.pixels));
    pixels.insert(pixels.end(), bytes.begin(), bytes.end());
  }
  return make_image_set(folder.string(), split, shape, DType::uint8, std::move(pixels), std::move(labels), classes);
}

}  // namespace tweedie::data
