#include "diffusion/data/png.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "nn/io/gzip.h"

namespace tweedie::data {
namespace {

constexpr std::size_t signature_bytes = 8;
constexpr std::size_t header_bytes = 33;  // signature and the IHDR chunk
constexpr int supported_depth = 8;

/// What libpng's callbacks see. libpng reports an error by a jump, past which no destructor would run: the functions
/// that it jumps out of own nothing.
struct Session {
  io::ByteView input;
  std::size_t position = 0;
  io::Bytes* output = nullptr;
  char message[160] = {};
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* session = static_cast<Session*>(png_get_error_ptr(png));
  std::snprintf(session->message, sizeof(session->message), "%s", message);
  png_longjmp(png, 1);
}
void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

void on_read(png_structp png, png_bytep data, png_size_t length) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  if (length > session->input.size() - session->position) png_error(png, "truncated");
  std::memcpy(data, session->input.data() + session->position, length);
  session->position += length;
}

void on_write(png_structp png, png_bytep data, png_size_t length) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  session->output->insert(session->output->end(), bytes, bytes + length);
}
void on_flush(png_structp /*png*/) {}

bool read_rows(png_structp png, png_infop info, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_info(png, info);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

bool write_rows(png_structp png, png_infop info, const Picture& picture, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width), static_cast<png_uint_32>(picture.height),
               supported_depth, picture.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, info);
  return true;
}

std::vector<png_bytep> row_pointers(const Picture& picture) {
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < picture.height; ++y)
    rows.push_back(const_cast<png_bytep>(picture.pixels.data()) + y * picture.width * picture.channels);
  return rows;
}

/// Size and kind from the header, before libpng or any memory is involved.
Picture parse_header(io::ByteView file, std::string_view name) {
  require(file.size() >= header_bytes &&
              png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0, signature_bytes) == 0 &&
              std::memcmp(file.data() + 12, "IHDR", 4) == 0,
          "{}: not a PNG file, or one truncated in its header", name);
  const auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = (value << 8) | std::to_integer<std::int64_t>(file[at + i]);
    return value;
  };
  const int depth = std::to_integer<int>(file[24]), kind = std::to_integer<int>(file[25]);
  require(depth == supported_depth && (kind == PNG_COLOR_TYPE_GRAY || kind == PNG_COLOR_TYPE_RGB),
          "{}: PNG of bit depth {} and colour type {}, expected 8-bit grey (type 0) or RGB (type 2)", name, depth,
          kind);
  Picture picture{
      .height = number(20), .width = number(16), .channels = kind == PNG_COLOR_TYPE_GRAY ? 1 : 3, .pixels = {}};
  require(picture.width > 0 && picture.height > 0 && picture.width <= PNG_USER_WIDTH_MAX &&
              picture.height <= PNG_USER_HEIGHT_MAX,
          "{}: PNG of {} x {} pixels, expected 1 to {} a side", name, picture.width, picture.height,
          PNG_USER_WIDTH_MAX);
  require(picture.width * picture.height * picture.channels / static_cast<std::int64_t>(io::largest_deflate_ratio) <=
              static_cast<std::int64_t>(file.size()),
          "{}: {} bytes cannot hold its {} x {} pixels: truncated", name, file.size(), picture.width, picture.height);
  return picture;
}

}  // namespace

Picture decode_png(io::ByteView file, std::string_view name) {
  Picture picture = parse_header(file, name);
  picture.pixels.resize(static_cast<std::size_t>(picture.height * picture.width * picture.channels));
  std::vector<png_bytep> rows = row_pointers(picture);
  Session session{.input = file, .position = 0, .output = nullptr};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  bool good = info != nullptr;
  if (good) {
    // Ancillary chunks (colour profiles, text) cannot change the stored values: they are passed over.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_read_fn(png, &session, on_read);
    good = read_rows(png, info, rows.data());
  }
  png_destroy_read_struct(&png, &info, nullptr);
  require(good, "{}: corrupt PNG near byte {}: {}", name, session.position, session.message);
  return picture;
}

Picture read_png(const std::filesystem::path& path) {
  return decode_png(io::read_file(path), path.string());
}

io::Bytes encode_png(const Picture& picture) {
  require(picture.height > 0 && picture.width > 0 && (picture.channels == 1 || picture.channels == 3) &&
              static_cast<std::int64_t>(picture.pixels.size()) == picture.height * picture.width * picture.channels,
          "encode_png: {} values do not make a picture of {} x {} pixels and {} channels (1 or 3)",
          picture.pixels.size(), picture.height, picture.width, picture.channels);
  io::Bytes out;
  out.reserve(picture.pixels.size() + 1024);
  std::vector<png_bytep> rows = row_pointers(picture);
  Session session{.input = {}, .position = 0, .output = &out};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  bool good = info != nullptr;
  if (good) {
    png_set_write_fn(png, &session, on_write, on_flush);
    good = write_rows(png, info, picture, rows.data());
  }
  png_destroy_write_struct(&png, &info);
  require(good, "encode_png: libpng failed: {}", session.message);
  return out;
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  io::write_file_atomic(path, encode_png(picture));
}

}  // namespace tweedie::data
