#include "diffusion/data/idx.h"

#include "nn/io/gzip.h"

namespace tweedie::data {

io::HostArray parse_idx(io::Bytes file, std::string_view name) {
  constexpr int unsigned_byte = 8;
  const auto byte = [&](std::size_t i) { return std::to_integer<std::int64_t>(file[i]); };
  require(file.size() >= 4 && byte(0) == 0 && byte(1) == 0 && byte(3) >= 1 && byte(3) <= 4,
          "{}: not an IDX file: it must begin with 00 00, a type and a rank of 1 to 4", name);
  require(byte(2) == unsigned_byte, "{}: IDX type {:#04x}, expected 0x08 (unsigned byte)", name, byte(2));
  const auto rank = static_cast<std::size_t>(byte(3));
  const std::size_t offset = 4 + 4 * rank;
  require(file.size() >= offset, "{}: truncated in its header: {} bytes, {} are needed", name, file.size(), offset);
  std::vector<std::int64_t> extents;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::size_t at = 4 + 4 * axis;
    extents.push_back((byte(at) << 24) | (byte(at + 1) << 16) | (byte(at + 2) << 8) | byte(at + 3));
  }
  const Shape shape = io::checked_shape(extents, 1, name);
  const auto wanted = static_cast<std::uint64_t>(shape.count());
  require(file.size() - offset == wanted, "{}: {}: {} needs {} bytes from byte {} on, the file has {}", name,
          file.size() - offset < wanted ? "truncated data" : "data longer than its header says", shape, wanted, offset,
          file.size() - offset);
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(offset));
  return {.name = std::string(name), .dtype = DType::uint8, .shape = shape, .data = std::move(file)};
}

io::HostArray read_idx(const std::filesystem::path& path) {
  return parse_idx(io::read_file_gunzip(path), path.string());
}

}  // namespace tweedie::data
