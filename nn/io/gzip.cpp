#include "nn/io/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

namespace tweedie::io {
namespace {

constexpr int gzip_window_bits = 15 + 16;
constexpr int raw_window_bits = -15;
constexpr std::size_t largest_piece = std::size_t{1} << 30;  // zlib counts in 32 bits

class Inflater {
 public:
  Inflater(int window_bits, ByteView input, std::string_view name) : input_(input), name_(name) {
    require(inflateInit2(&stream_, window_bits) == Z_OK, "{}: zlib does not start", name_);
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Inflates into out[written...]; true at the end of the (member's) stream, false when `out` is full.
  bool run(std::span<std::byte> out, std::size_t& written) {
    for (;;) {
      if (stream_.avail_in == 0) {
        const std::size_t piece = std::min(input_.size() - handed_, largest_piece);
        // zlib's interface predates const; it does not write to its input.
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input_.data() + handed_));
        stream_.avail_in = static_cast<uInt>(piece);
        handed_ += piece;
      }
      const std::size_t room = std::min(out.size() - written, largest_piece);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + written);
      stream_.avail_out = static_cast<uInt>(room);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      written += room - stream_.avail_out;
      if (status == Z_STREAM_END) return true;
      if (status != Z_OK && status != Z_BUF_ERROR) {
        fail("{}: corrupt compressed data at byte {}: {}", name_, consumed(),
             stream_.msg != nullptr ? stream_.msg : "invalid stream");
      }
      if (stream_.avail_in == 0 && handed_ == input_.size() && stream_.avail_out > 0) {
        fail("{}: compressed data is truncated: it ends at byte {} in the middle of the stream", name_, input_.size());
      }
      if (written == out.size() && room > 0) return false;
      if (room == 0) return false;
    }
  }
  std::size_t consumed() const { return handed_ - stream_.avail_in; }
  void next_member() { inflateReset(&stream_); }

 private:
  ByteView input_;
  std::string_view name_;
  std::size_t handed_ = 0;
  z_stream stream_{};
};

}  // namespace

bool is_gzip(ByteView bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

Bytes gunzip(ByteView compressed, std::string_view name) {
  require(is_gzip(compressed), "{}: not a gzip file: it must begin with the bytes 1f 8b", name);
  Inflater inflater(gzip_window_bits, compressed, name);
  Bytes out(std::max<std::size_t>(compressed.size() * 3, 4096));
  std::size_t written = 0;
  for (;;) {
    if (!inflater.run(out, written)) {
      out.resize(out.size() * 2);
      continue;
    }
    const std::size_t offset = inflater.consumed();
    if (offset == compressed.size()) break;
    require(is_gzip(compressed.subspan(offset)), "{}: {} bytes at byte {} follow the gzip data and are not part of it",
            name, compressed.size() - offset, offset);
    inflater.next_member();
  }
  out.resize(written);
  return out;
}

Bytes read_file_gunzip(const std::filesystem::path& path) {
  Bytes bytes = read_file(path);
  return is_gzip(bytes) ? gunzip(bytes, path.string()) : bytes;
}

Bytes inflate_raw(ByteView compressed, std::uint64_t size, std::string_view name) {
  require(size / largest_deflate_ratio <= compressed.size(), "{}: {} compressed bytes cannot hold the {} declared",
          name, compressed.size(), size);
  Inflater inflater(raw_window_bits, compressed, name);
  Bytes out(size + 1);  // one byte more than declared, so that a longer stream is seen
  std::size_t written = 0;
  const bool ended = inflater.run(out, written);
  require(ended && written == size, "{}: inflates to {} bytes, its header declares {}", name,
          ended ? std::to_string(written) : "more", size);
  require(inflater.consumed() == compressed.size(), "{}: compressed data ends at byte {} of {}", name,
          inflater.consumed(), compressed.size());
  out.resize(size);
  return out;
}

std::uint32_t crc32(ByteView bytes, std::uint32_t previous) {
  return static_cast<std::uint32_t>(::crc32_z(previous, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace tweedie::io
