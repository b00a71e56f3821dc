#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/error.h"

/// Files of the ecosystem's formats. Every reader has a form that takes bytes in memory and a name for its messages;
/// every writer writes beside its target, syncs and renames, so that no reader ever sees half a file.
namespace tweedie::io {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

inline ByteView bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A file open for reading at any offset; its length is that at opening.
class InputFile {
 public:
  /// Throws Error naming the path and the system's reason; also for anything that is not a regular file.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  /// Fills `out` from byte `offset` on; throws Error when the file ends before that.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

Bytes read_file(const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

/// A new file under a temporary name beside `path`. `commit` syncs it, renames it to `path` and syncs the folder;
/// without a commit (an exception, say) the temporary file is removed and `path` stays as it was. A symbolic link at
/// `path` is followed. Failures (no such folder, no permission, disk full) throw Error naming `path` and the reason,
/// and leave nothing behind.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteView bytes);
  void write(std::string_view text) { write(bytes_of(text)); }
  /// Bytes written so far.
  std::uint64_t position() const { return position_; }
  void commit();

 private:
  void discard() noexcept;
  [[noreturn]] void fail_with(int error_number, std::string_view what);

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
};

void write_file_atomic(const std::filesystem::path& path, ByteView bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

/// Makes the name of a file or folder, just created or renamed, outlive a loss of power. Throws Error.
void sync_entry(const std::filesystem::path& path);

}  // namespace tweedie::io
