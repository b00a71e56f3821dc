#pragma once

#include <map>

#include "nn/io/host_array.h"

namespace tweedie::io {

/// NumPy's .npy format, versions 1 to 3, C order, little-endian. float32, float64, int64 and uint8 are read as they
/// are; float16 is widened to float32, the other integers to int64 (uint64 only where it fits), bool to uint8. Anything
/// else (Fortran order, big-endian, complex, strings, objects, records), a malformed header, and a length that does not
/// match the shape are Errors that name the file and say what would be right.
HostArray read_npy(const std::filesystem::path& path);
HostArray parse_npy(Bytes file, std::string_view name);

/// Version 1.0, data aligned to 64 bytes. float32, float64, int64, uint8; NumPy has no bfloat16 (Error).
/// `array.name` is not part of the file.
void write_npy(const std::filesystem::path& path, const ArrayView& array);
template <class T>
void write_npy(const std::filesystem::path& path, const std::vector<T>& values, const Shape& shape) {
  write_npy(path, view_of(path.string(), values, shape));
}
/// What stands before the data in the file.
std::string npy_header(DType dtype, const Shape& shape, std::string_view name);

}  // namespace tweedie::io
