#include "nn/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

namespace tweedie::io {
namespace {

// Linux moves at most this much in one call.
constexpr std::size_t largest_transfer = std::size_t{1} << 30;

std::string reason(int error_number) {
  return std::generic_category().message(error_number);
}

/// What the chain of symbolic links at `path` ends in, existing or not.
std::filesystem::path followed(const std::filesystem::path& path) {
  constexpr int longest_chain = 40;
  std::filesystem::path target = path;
  std::error_code error;
  for (int i = 0; i < longest_chain; ++i) {
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(target, error))) return target;
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    require(!error, "cannot write {}: {}", path.string(), error.message());
    target = target.parent_path() / next;  // an absolute `next` replaces the parent
  }
  fail("cannot write {}: {}", path.string(), reason(ELOOP));
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path.string()) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot read {}: {}", path_, reason(errno));
  struct stat status {};
  const int error = ::fstat(descriptor_, &status) != 0 ? errno : 0;
  if (error != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail("cannot read {}: {}", path_,
         error != 0                ? reason(error)
         : S_ISDIR(status.st_mode) ? "it is a folder, a file was expected"
                                   : "it is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, std::min(out.size() - done, largest_transfer),
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read {} at byte {}: {}", path_, offset + done, reason(errno));
    if (got == 0) fail("{}: ends at byte {}, {} more were expected there", path_, offset + done, out.size() - done);
    done += static_cast<std::size_t>(got);
  }
}

Bytes read_file(const std::filesystem::path& path) {
  const InputFile file(path);
  Bytes bytes(file.size());
  file.read_at(0, bytes);
  return bytes;
}

std::string read_text(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : target_(followed(path)) {
  struct stat status {};
  // Renaming onto a device or a folder would replace or fail late, so only a regular file may be overwritten.
  if (::stat(target_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail("cannot write {}: {}", path.string(),
         S_ISDIR(status.st_mode) ? "a folder of that name exists" : "it exists and is not a regular file");
  }
  static std::atomic<unsigned> serial{0};
  temporary_ = folder_of(target_) / fmt::format(".{}.partial-{}-{}", target_.filename().string(), ::getpid(), serial++);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    const int error = errno;
    fail("cannot write {}: {}{}", path.string(), reason(error),
         error == ENOENT ? fmt::format(" (folder {} must exist)", folder_of(target_).string()) : "");
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail_with(int error_number, std::string_view what) {
  discard();
  fail("cannot write {}: {} {} ({} bytes written)", target_.string(), what, reason(error_number), position_);
}

void AtomicFile::write(ByteView bytes) {
  require(descriptor_ >= 0, "cannot write {}: the file is already committed or given up", target_.string());
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), std::min(bytes.size(), largest_transfer));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_with(errno, "write:");
    position_ += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void AtomicFile::commit() {
  require(descriptor_ >= 0, "cannot write {}: the file is already committed or given up", target_.string());
  if (::fsync(descriptor_) != 0) fail_with(errno, "sync:");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with(errno, "rename:");
  const bool closed = ::close(std::exchange(descriptor_, -1)) == 0;
  require(closed, "cannot write {}: close: {}", target_.string(), reason(errno));
  sync_entry(target_);
}

void sync_entry(const std::filesystem::path& path) {
  const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return;  // a folder that may be written but not read: the rename stands, only its sync is the system's
  const int error = ::fsync(folder) != 0 ? errno : 0;
  ::close(folder);
  // EINVAL: a file system without folder sync.
  require(error == 0 || error == EINVAL, "cannot write {}: sync of its folder: {}", path.string(), reason(error));
}

void write_file_atomic(const std::filesystem::path& path, ByteView bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
  write_file_atomic(path, bytes_of(text));
}

}  // namespace tweedie::io
