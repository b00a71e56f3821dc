#pragma once

#include <map>

#include "nn/io/npy.h"

namespace tweedie::io {

/// The arrays of NumPy's .npz (a zip of .npy files, stored or deflated, zip64 included), by name without ".npy".
/// Checksums are verified. Truncated or overlapping entries, other compressions, encryption and members that are no
/// .npy are Errors naming the file and the entry.
std::map<std::string, HostArray> read_npz(const std::filesystem::path& path);
std::map<std::string, HostArray> parse_npz(ByteView file, std::string_view name);

/// Writes an .npz of stored entries that numpy.load reads, each `add` streaming one array to the disk. The file appears
/// under its name at `commit` (see AtomicFile).
class NpzWriter {
 public:
  explicit NpzWriter(const std::filesystem::path& path) : path_(path.string()), file_(path) {}

  /// `array.name` is the key; it must be new and not empty.
  void add(const ArrayView& array);
  template <class T>
  void add(const std::string& name, const std::vector<T>& values, const Shape& shape) {
    add(view_of(name, values, shape));
  }
  void commit();

 private:
  struct Entry {
    std::string name;
    std::uint32_t crc = 0;
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;
  };
  std::string path_;
  AtomicFile file_;
  std::vector<Entry> entries_;
};

void write_npz(const std::filesystem::path& path, const std::vector<ArrayView>& arrays);

}  // namespace tweedie::io
