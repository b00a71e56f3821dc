#include "nn/io/npy.h"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>

namespace tweedie::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian and read without a swap");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t alignment = 64;

struct Header {
  std::string type;
  bool fortran_order = false;
  std::vector<std::int64_t> extents;
  std::size_t data_offset = 0;
};

/// The Python dictionary of the header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::size_t offset, std::string_view name)
      : text_(text), offset_(offset), name_(name) {}

  Header parse() {
    Header header;
    std::optional<std::string> type;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> extents;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !type) {
        require(peek() != '[', "{}: holds records (structured dtype), expected plain numbers such as '<f4'", name_);
        type = quoted();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !extents) {
        extents = tuple();
      } else {
        malformed(fmt::format("key '{}' is unknown or repeated", key));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (position_ != text_.size()) malformed("text after the dictionary");
    if (!type || !fortran_order || !extents) malformed("one of 'descr', 'fortran_order', 'shape' is missing");
    return {.type = *type, .fortran_order = *fortran_order, .extents = *extents, .data_offset = offset_ + text_.size()};
  }

 private:
  [[noreturn]] void malformed(std::string_view what) const {
    fail(
        "{}: malformed .npy header at byte {}: {}; expected a dictionary such as "
        "{{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }}",
        name_, offset_ + position_, what);
  }
  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
  }
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++position_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) malformed(fmt::format("'{}' expected", wanted));
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') malformed("a quoted string expected");
    const std::size_t end = text_.find(quote, position_ + 1);
    if (end == std::string_view::npos) malformed("a string without its closing quote");
    std::string text(text_.substr(position_ + 1, end - position_ - 1));
    position_ = end + 1;
    return text;
  }
  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair{std::string_view("True"), true}, {std::string_view("False"), false}}) {
      if (text_.substr(position_).starts_with(word)) {
        position_ += word.size();
        return value;
      }
    }
    malformed("True or False expected");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> extents;
    expect('(');
    while (!accept(')')) {
      extents.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return extents;
  }
  std::int64_t integer() {
    skip_space();
    std::int64_t value = 0;
    const std::size_t first = position_;
    for (; position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9'; ++position_) {
      if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
          __builtin_add_overflow(value, std::int64_t{text_[position_] - '0'}, &value)) {
        malformed("an extent above 63 bits");
      }
    }
    if (position_ == first) malformed("a non-negative integer expected");
    return value;
  }

  std::string_view text_;
  std::size_t offset_;
  std::string_view name_;
  std::size_t position_ = 0;
};

std::uint32_t little_endian(ByteView bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
  return value;
}

Header parse_header(ByteView file, std::string_view name) {
  require(file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0,
          "{}: not an .npy file: it must begin with the bytes 93 'NUMPY'", name);
  require(file.size() >= 10, "{}: truncated in its header: {} bytes", name, file.size());
  const int version = std::to_integer<int>(file[6]);
  require(version >= 1 && version <= 3 && file[7] == std::byte{0}, "{}: .npy version {}.{}, expected 1.0, 2.0 or 3.0",
          name, version, std::to_integer<int>(file[7]));
  const std::size_t offset = version == 1 ? 10 : 12;
  require(file.size() >= offset, "{}: truncated in its header: {} bytes", name, file.size());
  const std::size_t length = little_endian(file.subspan(8, offset - 8));
  require(length <= file.size() - offset, "{}: its header declares {} bytes from byte {} on, the file has {}", name,
          length, offset, file.size() - offset);
  return HeaderParser({reinterpret_cast<const char*>(file.data()) + offset, length}, offset, name).parse();
}

template <class From, class To>
Bytes widened(ByteView data) {
  const std::size_t count = data.size() / sizeof(From);
  Bytes out(count * sizeof(To));
  for (std::size_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, data.data() + i * sizeof(From), sizeof(From));
    const To to = static_cast<To>(from);
    std::memcpy(out.data() + i * sizeof(To), &to, sizeof(To));
  }
  return out;
}

Bytes widened_float16(ByteView data) {
  Bytes out(data.size() * 2);
  for (std::size_t i = 0; i < data.size() / 2; ++i) {
    const float value = float16_to_float32(static_cast<std::uint16_t>(little_endian(data.subspan(2 * i, 2))));
    std::memcpy(out.data() + 4 * i, &value, 4);
  }
  return out;
}

/// How one of NumPy's type strings is kept here; `widen` is null where the bytes stay as they are.
struct Conversion {
  std::string_view type;
  std::size_t bytes;
  DType dtype;
  Bytes (*widen)(ByteView);
};
constexpr Conversion conversions[] = {
    {"<f4", 4, DType::float32, nullptr},
    {"<f8", 8, DType::float64, nullptr},
    {"<i8", 8, DType::int64, nullptr},
    {"|u1", 1, DType::uint8, nullptr},
    {"|b1", 1, DType::uint8, nullptr},
    {"<f2", 2, DType::float32, widened_float16},
    {"|i1", 1, DType::int64, widened<std::int8_t, std::int64_t>},
    {"<i2", 2, DType::int64, widened<std::int16_t, std::int64_t>},
    {"<i4", 4, DType::int64, widened<std::int32_t, std::int64_t>},
    {"<u2", 2, DType::int64, widened<std::uint16_t, std::int64_t>},
    {"<u4", 4, DType::int64, widened<std::uint32_t, std::int64_t>},
    {"<u8", 8, DType::int64, nullptr},
};

const Conversion& conversion_of(std::string type, std::string_view name) {
  require(type.size() < 2 || type[0] != '>',
          "{}: dtype '{}' is big-endian, expected little-endian; in NumPy: a.astype(a.dtype.newbyteorder('<'))", name,
          type);
  // One-byte types are written with any byte order, and '=' means the writer's own, which was little-endian.
  if (type.size() == 3) type[0] = type[2] == '1' ? '|' : (type[0] == '=' ? '<' : type[0]);
  for (const Conversion& conversion : conversions)
    if (conversion.type == type) return conversion;
  fail(
      "{}: dtype '{}' is not supported; expected float16, float32, float64, bool or an integer type "
      "(in NumPy: a.astype('float32'))",
      name, type);
}

}  // namespace

HostArray parse_npy(Bytes file, std::string_view name) {
  const Header header = parse_header(file, name);
  const Conversion& conversion = conversion_of(header.type, name);
  require(!header.fortran_order, "{}: is in Fortran order, expected C order; in NumPy: numpy.ascontiguousarray(a)",
          name);
  const Shape shape = checked_shape(header.extents, 8, name);
  const std::uint64_t wanted = static_cast<std::uint64_t>(shape.count()) * conversion.bytes;
  const std::uint64_t present = file.size() - header.data_offset;
  require(present == wanted, "{}: {}: shape {} of dtype '{}' needs {} bytes from byte {} on, the file has {}", name,
          present < wanted ? "truncated data" : "data longer than its header says", shape, header.type, wanted,
          header.data_offset, present);
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(header.data_offset));
  if (conversion.widen != nullptr) file = conversion.widen(file);
  HostArray array{.name = std::string(name), .dtype = conversion.dtype, .shape = shape, .data = std::move(file)};
  if (conversion.type == "<u8") {
    for (std::int64_t value : std::as_const(array).as<std::int64_t>())
      require(value >= 0, "{}: a uint64 value is above the largest int64", name);
  }
  return array;
}

HostArray read_npy(const std::filesystem::path& path) {
  return parse_npy(read_file(path), path.string());
}

std::string npy_header(DType dtype, const Shape& shape, std::string_view name) {
  std::string_view type;
  switch (dtype) {
    case DType::float32:
      type = "<f4";
      break;
    case DType::float64:
      type = "<f8";
      break;
    case DType::int64:
      type = "<i8";
      break;
    case DType::uint8:
      type = "|u1";
      break;
    case DType::bfloat16:
      fail("{}: .npy has no bfloat16, convert to float32 first", name);
  }
  std::string extents;
  for (std::int64_t extent : shape) extents += fmt::format("{}, ", extent);
  if (shape.rank() > 1) extents.resize(extents.size() - 2);
  if (shape.rank() == 1) extents.resize(extents.size() - 1);
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, extents);
  const std::size_t unpadded = magic.size() + 4 + dictionary.size() + 1;
  dictionary.append((alignment - unpadded % alignment) % alignment, ' ');
  dictionary += '\n';
  std::string header(magic);
  header += {'\1', '\0', static_cast<char>(dictionary.size() & 0xff), static_cast<char>(dictionary.size() >> 8)};
  return header + dictionary;
}

void write_npy(const std::filesystem::path& path, const ArrayView& array) {
  const std::string header = npy_header(array.dtype, array.shape, path.string());
  AtomicFile file(path);
  file.write(header);
  file.write(array.data);
  file.commit();
}

}  // namespace tweedie::io
