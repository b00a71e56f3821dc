#pragma once

#include "nn/io/file.h"

namespace tweedie::io {

/// Deflate cannot shrink by more than this factor (RFC 1951: a 258-byte copy costs at least 2 bits); a length that a
/// header declares is checked against it before memory is taken.
inline constexpr std::uint64_t largest_deflate_ratio = 1032;

bool is_gzip(ByteView bytes);

/// All members of a gzip stream (RFC 1952), inflated; their checksums are verified. Throws Error naming `name` and the
/// byte offset for a truncated or corrupt stream, or for trailing bytes that are no member.
Bytes gunzip(ByteView compressed, std::string_view name);

/// The file's bytes, inflated where it is gzip.
Bytes read_file_gunzip(const std::filesystem::path& path);

/// Exactly `size` bytes of a raw deflate stream that must end with the input (an entry of a zip file).
Bytes inflate_raw(ByteView compressed, std::uint64_t size, std::string_view name);

/// CRC-32 as in gzip and zip, continued from `previous`.
std::uint32_t crc32(ByteView bytes, std::uint32_t previous = 0);

}  // namespace tweedie::io
