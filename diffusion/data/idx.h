#pragma once

#include "nn/io/host_array.h"

namespace tweedie::data {

/// An IDX file (the format of MNIST: two zero bytes, type, rank, big-endian extents, data) of unsigned bytes. Throws
/// Error naming `name` for another type, a rank outside 1 to 4, or a length that does not match the extents.
io::HostArray parse_idx(io::Bytes file, std::string_view name);
/// The same of a file, gzipped or not.
io::HostArray read_idx(const std::filesystem::path& path);

}  // namespace tweedie::data
