#include "nn/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

namespace tweedie::io {
namespace {

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t largest_header = 100'000'000;  // the limit of the format's own library

struct StoredType {
  std::string_view name;
  std::size_t bytes;
};
constexpr StoredType stored_types[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"I32", 4},     {"I16", 2},     {"I8", 1},
    {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

std::size_t stored_bytes(std::string_view type, std::string_view label) {
  for (const StoredType& stored : stored_types)
    if (stored.name == type) return stored.bytes;
  fail("{}: unknown dtype '{}'", label, type);
}

std::uint64_t header_length(ByteView first_bytes, std::uint64_t file_bytes, std::string_view name) {
  require(file_bytes >= length_bytes, "{}: not a safetensors file: {} bytes, its length field alone has 8", name,
          file_bytes);
  std::uint64_t length = 0;
  std::memcpy(&length, first_bytes.data(), length_bytes);
  require(length <= largest_header, "{}: not a safetensors file: its header claims {} bytes, the limit is {}", name,
          length, largest_header);
  require(length <= file_bytes - length_bytes,
          "{}: truncated: its header claims {} bytes, the file has {} after byte 8", name, length,
          file_bytes - length_bytes);
  return length;
}

/// The header as JSON; a name that occurs twice within one object is an Error (a plain parse would keep the last).
json parse_json(ByteView header, std::string_view name) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int /*depth*/, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const std::string& key = value.get_ref<const std::string&>();
      require(keys.back().insert(key).second, "{}: the name '{}' occurs twice in its header", name, key);
    }
    return true;
  };
  const char* text = reinterpret_cast<const char*>(header.data());
  try {
    return json::parse(text, text + header.size(), check);
  } catch (const json::exception& error) {
    fail("{}: its header (bytes 8 to {}) is not valid JSON: {}", name, length_bytes + header.size(), error.what());
  }
}

std::uint64_t unsigned_number(const json& value, std::string_view label, std::string_view what) {
  require(value.is_number_unsigned() && value.get<std::uint64_t>() <= (std::uint64_t{1} << 62),
          "{}: {} must be non-negative integers below 2^62", label, what);
  return value.get<std::uint64_t>();
}

SafetensorsEntry parse_entry(const json& value, std::uint64_t data_offset, std::uint64_t data_bytes,
                             const std::string& label) {
  require(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
              value.contains("data_offsets"),
          "{}: its entry must hold dtype, shape and data_offsets and nothing else", label);
  const json& type = value.at("dtype");
  const json& extents = value.at("shape");
  const json& offsets = value.at("data_offsets");
  require(type.is_string() && extents.is_array() && offsets.is_array() && offsets.size() == 2,
          "{}: dtype must be a string, shape a list and data_offsets a list of two", label);
  SafetensorsEntry entry{.type = type.get<std::string>(), .shape = {}, .offset = 0, .bytes = 0};
  std::vector<std::int64_t> shape;
  for (const json& extent : extents)
    shape.push_back(static_cast<std::int64_t>(unsigned_number(extent, label, "extents")));
  const std::size_t element = stored_bytes(entry.type, label);
  entry.shape = checked_shape(shape, 8, label);
  const std::uint64_t first = unsigned_number(offsets[0], label, "offsets");
  const std::uint64_t last = unsigned_number(offsets[1], label, "offsets");
  require(first <= last && last <= data_bytes, "{}: offsets {} to {} are out of range, the file has {} bytes of data",
          label, first, last, data_bytes);
  entry.offset = data_offset + first;
  entry.bytes = last - first;
  const std::uint64_t wanted = static_cast<std::uint64_t>(entry.shape.count()) * element;
  require(entry.bytes == wanted, "{}: {} of shape {} needs {} bytes, its offsets {} to {} give {}", label, entry.type,
          entry.shape, wanted, first, last, entry.bytes);
  return entry;
}

/// The tensors' bytes must follow each other from the first byte of the data to the last.
void check_coverage(const std::map<std::string, SafetensorsEntry>& tensors, std::uint64_t data_offset,
                    std::uint64_t data_bytes, std::string_view name) {
  std::vector<std::pair<const std::string*, const SafetensorsEntry*>> order;
  for (const auto& [tensor, entry] : tensors) order.emplace_back(&tensor, &entry);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->offset, a.second->bytes) < std::pair(b.second->offset, b.second->bytes);
  });
  std::uint64_t end = data_offset;
  for (const auto& [tensor, entry] : order) {
    require(entry->offset >= end, "{}: tensor '{}' overlaps the one before it: begins at byte {}, that one ends at {}",
            name, *tensor, entry->offset, end);
    require(entry->offset == end, "{}: bytes {} to {} before tensor '{}' belong to no tensor", name, end, entry->offset,
            *tensor);
    end += entry->bytes;
  }
  require(end == data_offset + data_bytes, "{}: bytes {} to {} at its end belong to no tensor", name, end,
          data_offset + data_bytes);
}

template <class From, class To>
Bytes widened(ByteView data) {
  Bytes out(data.size() / sizeof(From) * sizeof(To));
  for (std::size_t i = 0; i < data.size() / sizeof(From); ++i) {
    From from;
    std::memcpy(&from, data.data() + i * sizeof(From), sizeof(From));
    To to;
    if constexpr (std::is_floating_point_v<To>) {
      to = float16_to_float32(from);
    } else {
      to = static_cast<To>(from);
    }
    std::memcpy(out.data() + i * sizeof(To), &to, sizeof(To));
  }
  return out;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : name_(path.string()), file_(path) {
  Bytes length_field(std::min(file_->size(), length_bytes));
  file_->read_at(0, length_field);
  Bytes header(header_length(length_field, file_->size(), name_));
  file_->read_at(length_bytes, header);
  parse(header, file_->size() - length_bytes - header.size());
}

SafetensorsFile::SafetensorsFile(Bytes file, std::string name) : name_(std::move(name)), memory_(std::move(file)) {
  const std::uint64_t length = header_length(memory_, memory_.size(), name_);
  parse(ByteView(memory_).subspan(length_bytes, length), memory_.size() - length_bytes - length);
}

void SafetensorsFile::parse(ByteView header, std::uint64_t data_bytes) {
  require(!header.empty() && header[0] == std::byte{'{'}, "{}: not a safetensors file: byte 8 must be '{{'", name_);
  const json root = parse_json(header, name_);
  const std::uint64_t data_offset = length_bytes + header.size();
  for (const auto& [key, value] : root.items()) {
    if (key == "__metadata__") {
      require(value.is_object(), "{}: __metadata__ must be an object of strings", name_);
      for (const auto& [field, text] : value.items()) {
        require(text.is_string(), "{}: __metadata__ field '{}' must be a string", name_, field);
        metadata_[field] = text.get<std::string>();
      }
      continue;
    }
    tensors_[key] = parse_entry(value, data_offset, data_bytes, fmt::format("{}: tensor '{}'", name_, key));
  }
  check_coverage(tensors_, data_offset, data_bytes, name_);
}

void SafetensorsFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (file_) {
    file_->read_at(offset, out);
  } else if (!out.empty()) {
    std::memcpy(out.data(), memory_.data() + offset, out.size());
  }
}

const SafetensorsEntry& SafetensorsFile::at(const std::string& tensor) const {
  const auto found = tensors_.find(tensor);
  require(found != tensors_.end(), "{}: tensor '{}' is missing", name_, tensor);
  return found->second;
}

HostArray SafetensorsFile::read(const std::string& tensor) const {
  const SafetensorsEntry& entry = at(tensor);
  HostArray array{.name = fmt::format("{}: tensor '{}'", name_, tensor), .dtype = {}, .shape = entry.shape, .data = {}};
  array.data.resize(entry.bytes);
  read_at(entry.offset, array.data);
  const auto keep = [&](DType dtype) { array.dtype = dtype; };
  const auto widen = [&](DType dtype, Bytes (*convert)(ByteView)) {
    array.data = convert(array.data);
    array.dtype = dtype;
  };
  if (entry.type == "F32") {
    keep(DType::float32);
  } else if (entry.type == "F64") {
    keep(DType::float64);
  } else if (entry.type == "BF16") {
    keep(DType::bfloat16);
  } else if (entry.type == "I64") {
    keep(DType::int64);
  } else if (entry.type == "U8" || entry.type == "BOOL") {
    keep(DType::uint8);
  } else if (entry.type == "F16") {
    widen(DType::float32, widened<std::uint16_t, float>);
  } else if (entry.type == "I8") {
    widen(DType::int64, widened<std::int8_t, std::int64_t>);
  } else if (entry.type == "I16") {
    widen(DType::int64, widened<std::int16_t, std::int64_t>);
  } else if (entry.type == "I32") {
    widen(DType::int64, widened<std::int32_t, std::int64_t>);
  } else if (entry.type == "U16") {
    widen(DType::int64, widened<std::uint16_t, std::int64_t>);
  } else if (entry.type == "U32") {
    widen(DType::int64, widened<std::uint32_t, std::int64_t>);
  } else {
    fail("{}: dtype {} is not supported, expected F32, F64, F16, BF16, BOOL or an integer type up to I64", array.name,
         entry.type);
  }
  return array;
}

std::vector<float> SafetensorsFile::read_float32(const std::string& tensor,
                                                 const std::optional<Shape>& expected) const {
  const HostArray array = read(tensor);
  require(is_floating(array.dtype), "{}: holds {}, expected a floating type", array.name, at(tensor).type);
  require(!expected || array.shape == *expected, "{}: has shape {}, expected {}", array.name, array.shape,
          expected.value_or(Shape()));
  return to_float32(array);
}

void write_safetensors(const std::filesystem::path& path, std::vector<ArrayView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const ArrayView& a, const ArrayView& b) {
    return std::pair(size_of(b.dtype), std::string_view(a.name)) <
           std::pair(size_of(a.dtype), std::string_view(b.name));
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  std::set<std::string_view> names;
  for (const ArrayView& tensor : tensors) {
    require(tensor.name != "__metadata__" && names.insert(tensor.name).second,
            "{}: tensor '{}' occurs twice or has a reserved name", path.string(), tensor.name);
    const std::string_view type = tensor.dtype == DType::float32    ? "F32"
                                  : tensor.dtype == DType::float64  ? "F64"
                                  : tensor.dtype == DType::bfloat16 ? "BF16"
                                  : tensor.dtype == DType::int64    ? "I64"
                                                                    : "U8";
    require(tensor.data.size() == static_cast<std::size_t>(tensor.shape.count()) * size_of(tensor.dtype),
            "{}: tensor '{}': {} bytes do not fill {} of shape {}", path.string(), tensor.name, tensor.data.size(),
            type, tensor.shape);
    header[tensor.name] = {{"dtype", type},
                           {"shape", std::vector<std::int64_t>(tensor.shape.begin(), tensor.shape.end())},
                           {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& error) {
    fail("cannot write {}: a tensor's name or the metadata is not UTF-8: {}", path.string(), error.what());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const ArrayView& tensor : tensors) file.write(tensor.data);
  file.commit();
}

}  // namespace tweedie::io
