#include "nn/io/npz.h"

#include <algorithm>

#include "nn/io/gzip.h"

namespace tweedie::io {
namespace {

// PKWARE APPNOTE 6.3: signatures and fixed sizes of the records used here.
constexpr std::uint32_t local_signature = 0x04034b50;
constexpr std::uint32_t central_signature = 0x02014b50;
constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50;
constexpr std::uint32_t locator64_signature = 0x07064b50;
constexpr std::size_t local_bytes = 30, central_bytes = 46, end_bytes = 22, end64_bytes = 56, locator64_bytes = 20;
constexpr std::uint32_t saturated = 0xffffffff;
constexpr std::uint16_t zip64_tag = 1;
constexpr std::uint16_t version_zip64 = 45;
constexpr std::uint16_t earliest_date = 0x21;  // 1980-01-01: equal arrays make equal files

struct Member {
  std::string name;
  std::uint32_t crc = 0;
  std::uint16_t method = 0;
  std::uint64_t compressed = 0, size = 0, offset = 0;
};

class ZipReader {
 public:
  ZipReader(ByteView file, std::string_view name) : file_(file), name_(name) {}

  std::vector<Member> members() const {
    const Directory directory = find_directory();
    std::vector<Member> members;
    std::uint64_t at = directory.offset;
    for (std::uint64_t i = 0; i < directory.count; ++i) members.push_back(member_at(at));
    require(at == directory.offset + directory.bytes, "{}: zip directory ends at byte {}, expected {}", name_, at,
            directory.offset + directory.bytes);
    return members;
  }

  /// Where the member's data begins, from its local header.
  std::uint64_t data_offset(const Member& member) const {
    const std::uint64_t at = member.offset;
    require(number(at, 4) == local_signature, "{}: entry '{}': no zip entry at byte {}", name_, member.name, at);
    return at + local_bytes + number(at + 26, 2) + number(at + 28, 2);
  }
  ByteView range(std::uint64_t offset, std::uint64_t bytes) const {
    require(offset <= file_.size() && bytes <= file_.size() - offset,
            "{}: truncated: bytes {} to {} are needed, the file has {}", name_, offset, offset + bytes, file_.size());
    return file_.subspan(offset, bytes);
  }

 private:
  struct Directory {
    std::uint64_t offset = 0, bytes = 0, count = 0;
  };

  std::uint64_t number(std::uint64_t offset, int bytes) const {
    const ByteView field = range(offset, static_cast<std::uint64_t>(bytes));
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value |= std::to_integer<std::uint64_t>(field[static_cast<std::size_t>(i)]) << (8 * i);
    return value;
  }

  Directory find_directory() const {
    require(file_.size() >= 2 && number(0, 2) == (local_signature & 0xffff),
            "{}: not an .npz (zip) file: it must begin with the bytes 'PK'", name_);
    // The end record is last, before a comment of at most 65535 bytes.
    const std::uint64_t lowest = file_.size() > end_bytes + 0xffff ? file_.size() - end_bytes - 0xffff : 0;
    for (std::uint64_t at = file_.size() - std::min(file_.size(), end_bytes) + 1; at-- > lowest;) {
      if (file_.size() - at < end_bytes || number(at, 4) != end_signature) continue;
      if (at + end_bytes + number(at + 20, 2) != file_.size()) continue;
      return directory_at(at);
    }
    fail("{}: truncated or corrupt: the zip file's end record is missing", name_);
  }

  Directory directory_at(std::uint64_t at) const {
    Directory directory{.offset = number(at + 16, 4), .bytes = number(at + 12, 4), .count = number(at + 10, 2)};
    if (at >= locator64_bytes && number(at - locator64_bytes, 4) == locator64_signature) {
      const std::uint64_t end64 = number(at - locator64_bytes + 8, 8);
      require(end64 < file_.size() && number(end64, 4) == end64_signature, "{}: no zip64 end record at byte {}", name_,
              end64);
      directory = {.offset = number(end64 + 48, 8), .bytes = number(end64 + 40, 8), .count = number(end64 + 32, 8)};
    }
    range(directory.offset, directory.bytes);
    require(directory.count <= directory.bytes / central_bytes, "{}: zip directory of {} bytes cannot hold {} entries",
            name_, directory.bytes, directory.count);
    return directory;
  }

  Member member_at(std::uint64_t& at) const {
    require(number(at, 4) == central_signature, "{}: corrupt zip directory at byte {}", name_, at);
    const std::uint64_t name_bytes = number(at + 28, 2), extra_bytes = number(at + 30, 2);
    Member member{.name = {},
                  .crc = static_cast<std::uint32_t>(number(at + 16, 4)),
                  .method = static_cast<std::uint16_t>(number(at + 10, 2)),
                  .compressed = number(at + 20, 4),
                  .size = number(at + 24, 4),
                  .offset = number(at + 42, 4)};
    const ByteView name = range(at + central_bytes, name_bytes);
    member.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    require((number(at + 8, 2) & 1) == 0, "{}: entry '{}' is encrypted", name_, member.name);
    read_zip64(member, at + central_bytes + name_bytes, extra_bytes);
    at += central_bytes + name_bytes + extra_bytes + number(at + 32, 2);
    return member;
  }

  void read_zip64(Member& member, std::uint64_t at, std::uint64_t bytes) const {
    const std::uint64_t end = at + bytes;
    while (end - at >= 4) {
      const std::uint64_t tag = number(at, 2), length = number(at + 2, 2);
      require(length <= end - at - 4, "{}: entry '{}': corrupt zip extra field at byte {}", name_, member.name, at);
      if (tag == zip64_tag) {
        std::uint64_t field = at + 4;
        for (std::uint64_t* value : {&member.size, &member.compressed, &member.offset}) {
          if (*value != saturated) continue;
          require(field + 8 <= at + 4 + length, "{}: entry '{}': zip64 field at byte {} is too short", name_,
                  member.name, at);
          *value = number(field, 8);
          field += 8;
        }
      }
      at += 4 + length;
    }
  }

  ByteView file_;
  std::string_view name_;
};

void append(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

}  // namespace

std::map<std::string, HostArray> parse_npz(ByteView file, std::string_view name) {
  const ZipReader reader(file, name);
  std::vector<Member> members = reader.members();
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.offset < b.offset; });
  std::map<std::string, HostArray> arrays;
  std::uint64_t previous_end = 0;
  for (const Member& member : members) {
    const std::string label = fmt::format("{}[{}]", name, member.name);
    const std::uint64_t offset = reader.data_offset(member);
    // Shared data would let a small file claim any amount of memory.
    require(member.offset >= previous_end, "{}: overlaps the zip entry before it, at byte {}", label, member.offset);
    const ByteView stored = reader.range(offset, member.compressed);
    previous_end = offset + member.compressed;
    require(member.name.size() > 4 && member.name.ends_with(".npy"), "{}: is not an .npy member", label);
    require(member.method == 0 || member.method == 8, "{}: zip compression {}, expected stored (0) or deflate (8)",
            label, member.method);
    require(member.method != 0 || member.size == member.compressed, "{}: stored entry of {} bytes declares {}", label,
            member.compressed, member.size);
    Bytes bytes = member.method == 0 ? Bytes(stored.begin(), stored.end()) : inflate_raw(stored, member.size, label);
    require(crc32(bytes) == member.crc, "{}: corrupt: its CRC-32 is {:08x}, the directory says {:08x}", label,
            crc32(bytes), member.crc);
    const std::string key = member.name.substr(0, member.name.size() - 4);
    require(arrays.try_emplace(key, parse_npy(std::move(bytes), label)).second, "{}: occurs twice", label);
  }
  return arrays;
}

std::map<std::string, HostArray> read_npz(const std::filesystem::path& path) {
  return parse_npz(read_file(path), path.string());
}

void NpzWriter::add(const ArrayView& array) {
  require(!array.name.empty() && array.name.size() < 0xff00, "{}: an array needs a name of 1 to 65279 bytes", path_);
  for (const Entry& entry : entries_)
    require(entry.name != array.name + ".npy", "{}: array '{}' is added twice", path_, array.name);
  const std::string header = npy_header(array.dtype, array.shape, path_);
  Entry entry{.name = array.name + ".npy",
              .crc = crc32(array.data, crc32(bytes_of(header))),
              .bytes = header.size() + array.data.size(),
              .offset = file_.position()};
  // Sizes always stand in the zip64 field, as NumPy's own writer does; the name is UTF-8 (bit 11).
  std::string record;
  append(record, local_signature, 4);
  for (std::uint64_t field : {std::uint64_t{version_zip64}, std::uint64_t{0x800}, std::uint64_t{0}, std::uint64_t{0},
                              std::uint64_t{earliest_date}}) {
    append(record, field, 2);
  }
  append(record, entry.crc, 4);
  append(record, saturated, 4);
  append(record, saturated, 4);
  append(record, entry.name.size(), 2);
  append(record, 20, 2);
  record += entry.name;
  append(record, zip64_tag, 2);
  append(record, 16, 2);
  append(record, entry.bytes, 8);
  append(record, entry.bytes, 8);
  file_.write(record);
  file_.write(header);
  file_.write(array.data);
  entries_.push_back(std::move(entry));
}

void NpzWriter::commit() {
  require(!entries_.empty(), "cannot write {}: an .npz needs at least one array", path_);
  const std::uint64_t start = file_.position();
  std::string directory;
  for (const Entry& entry : entries_) {
    append(directory, central_signature, 4);
    for (std::uint64_t field : {std::uint64_t{version_zip64}, std::uint64_t{version_zip64}, std::uint64_t{0x800},
                                std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{earliest_date}}) {
      append(directory, field, 2);
    }
    append(directory, entry.crc, 4);
    append(directory, saturated, 4);
    append(directory, saturated, 4);
    append(directory, entry.name.size(), 2);
    append(directory, 28, 2);
    append(directory, 0, 6);  // no comment, disk 0, no attributes
    append(directory, 0, 4);
    append(directory, saturated, 4);
    directory += entry.name;
    append(directory, zip64_tag, 2);
    append(directory, 24, 2);
    append(directory, entry.bytes, 8);
    append(directory, entry.bytes, 8);
    append(directory, entry.offset, 8);
  }
  const std::uint64_t directory_bytes = directory.size();
  append(directory, end64_signature, 4);
  append(directory, end64_bytes - 12, 8);
  append(directory, version_zip64, 2);
  append(directory, version_zip64, 2);
  append(directory, 0, 8);  // disk numbers
  append(directory, entries_.size(), 8);
  append(directory, entries_.size(), 8);
  append(directory, directory_bytes, 8);
  append(directory, start, 8);
  append(directory, locator64_signature, 4);
  append(directory, 0, 4);
  append(directory, start + directory_bytes, 8);
  append(directory, 1, 4);
  append(directory, end_signature, 4);
  append(directory, 0, 4);
  const std::uint64_t count = std::min<std::uint64_t>(entries_.size(), 0xffff);
  append(directory, count, 2);
  append(directory, count, 2);
  append(directory, saturated, 4);
  append(directory, saturated, 4);
  append(directory, 0, 2);
  file_.write(directory);
  file_.commit();
}

void write_npz(const std::filesystem::path& path, const std::vector<ArrayView>& arrays) {
  NpzWriter writer(path);
  for (const ArrayView& array : arrays) writer.add(array);
  writer.commit();
}

}  // namespace tweedie::io
