#include "diffusion/data/cifar.h"

#include "nn/io/file.h"

namespace tweedie::data {
namespace {

constexpr std::int64_t side = 32, channels = 3, plane = side * side;

/// Records of `label_bytes` label bytes (the last one counts) and three 32 x 32 planes, appended as NHWC.
void append_records(const std::filesystem::path& path, std::int64_t records, std::int64_t label_bytes,
                    io::Bytes& pixels, std::vector<std::int64_t>& labels) {
  const io::InputFile file(path);
  const std::int64_t record = label_bytes + channels * plane;
  require(file.size() == static_cast<std::uint64_t>(records * record),
          "{}: {} bytes, expected {} ({} records of {} bytes)", file.path(), file.size(), records * record, records,
          record);
  io::Bytes bytes(file.size());
  file.read_at(0, bytes);
  for (std::int64_t i = 0; i < records; ++i) {
    const std::byte* image = bytes.data() + i * record + label_bytes;
    labels.push_back(std::to_integer<std::int64_t>(image[-1]));
    for (std::int64_t pixel = 0; pixel < plane; ++pixel)
      for (std::int64_t c = 0; c < channels; ++c) pixels.push_back(image[c * plane + pixel]);
  }
}

ImageSet load(const std::string& name, Split split, const std::vector<std::filesystem::path>& files,
              std::int64_t records, std::int64_t label_bytes, std::int64_t classes) {
  io::Bytes pixels;
  std::vector<std::int64_t> labels;
  pixels.reserve(files.size() * static_cast<std::size_t>(records * channels * plane));
  for (const auto& file : files) append_records(file, records, label_bytes, pixels, labels);
  const Shape shape{static_cast<std::int64_t>(labels.size()), side, side, channels};
  return make_image_set(name, split, shape, DType::uint8, std::move(pixels), std::move(labels), classes);
}

}  // namespace

ImageSet load_cifar10(const std::filesystem::path& folder, Split split) {
  std::vector<std::filesystem::path> files = {folder / "test_batch.bin"};
  if (split == Split::train) {
    files.clear();
    for (int i = 1; i <= 5; ++i) files.push_back(folder / fmt::format("data_batch_{}.bin", i));
  }
  return load("cifar10:" + folder.string(), split, files, 10000, 1, 10);
}

ImageSet load_cifar100(const std::filesystem::path& folder, Split split) {
  const bool train = split == Split::train;
  return load("cifar100:" + folder.string(), split, {folder / (train ? "train.bin" : "test.bin")},
              train ? 50000 : 10000, 2, 100);
}

}  // namespace tweedie::data
