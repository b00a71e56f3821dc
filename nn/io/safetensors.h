#pragma once

#include <map>
#include <optional>

#include "nn/io/host_array.h"

namespace tweedie::io {

/// One tensor of a safetensors file.
struct SafetensorsEntry {
  std::string type;  // as in the file: "F32", "BF16", "I64" ...
  Shape shape;
  std::uint64_t offset = 0;  // of its data, from the file's first byte
  std::uint64_t bytes = 0;
};

/// A safetensors file (8-byte length, JSON header, data), its header checked as a whole at opening: valid JSON without
/// repeated names, known types, each tensor's bytes = type size x shape, and offsets that cover the data without
/// overlap or hole. Data are read on demand. Errors name the file and the tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  /// The same of a file in memory.
  SafetensorsFile(Bytes file, std::string name);

  const std::string& name() const { return name_; }
  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& tensor) const { return tensors_.contains(tensor); }
  /// Throws Error naming the file where there is no such tensor.
  const SafetensorsEntry& at(const std::string& tensor) const;

  /// F32, F64, BF16, I64, U8 as stored; F16 widened to float32; I8, I16, I32, U16 and U32 to int64, BOOL to uint8.
  HostArray read(const std::string& tensor) const;
  /// Any floating type as float32 (F64 is rounded). Where `expected` is given the shape must equal it.
  std::vector<float> read_float32(const std::string& tensor, const std::optional<Shape>& expected = {}) const;

 private:
  void parse(ByteView header, std::uint64_t data_bytes);
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

  std::string name_;
  std::optional<InputFile> file_;
  Bytes memory_;
  std::map<std::string, SafetensorsEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes float32, float64, bfloat16, int64 and uint8 tensors, wider types first and by name within a type (so that
/// every tensor is aligned), with the header padded to 8 bytes. Atomic; a repeated name is an Error.
void write_safetensors(const std::filesystem::path& path, std::vector<ArrayView> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace tweedie::io
