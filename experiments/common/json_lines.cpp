#include "experiments/common/json_lines.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

void require_finite_at(const nlohmann::ordered_json& value, const std::string& what, const std::string& key) {
  if (value.is_number_float()) {
    require(std::isfinite(value.get<double>()), "{}: {} is {}, expected a finite number", what,
            key.empty() ? "the value" : key, value.get<double>());
  } else if (value.is_object()) {
    for (const auto& [name, member] : value.items()) {
      require_finite_at(member, what, key.empty() ? name : key + "." + name);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) require_finite_at(value[i], what, fmt::format("{}[{}]", key, i));
  }
}

/// A file open for appending that no other process of the run touches meanwhile. Opened anew each time: locks exclude
/// only files opened apart, and another process may have put a new file in its place.
class LockedFile {
 public:
  explicit LockedFile(const std::filesystem::path& path) {
    for (;;) {
      file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
      require(file_ >= 0, "{}: cannot be opened for appending: {}", path.string(), std::strerror(errno));
      while (::flock(file_, LOCK_EX) != 0 && errno == EINTR) continue;
      struct stat opened {
      }, named{};
      if (::fstat(file_, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino) return;
      ::close(file_);
    }
  }
  ~LockedFile() { ::close(file_); }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  int descriptor() const { return file_; }

 private:
  int file_ = -1;
};

}  // namespace

void require_finite(const nlohmann::ordered_json& value, const std::string& what) {
  require_finite_at(value, what, "");
}

JsonLines::JsonLines(std::filesystem::path path) : path_(std::move(path)) {
  const LockedFile made(path_);
}

void JsonLines::append(const nlohmann::ordered_json& record) {
  require_finite(record, path_.filename().string());
  const std::string line = record.dump() + "\n";
  const LockedFile file(path_);
  const off_t before = ::lseek(file.descriptor(), 0, SEEK_END);
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t wrote = ::write(file.descriptor(), line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      const std::string reason = std::strerror(errno);
      const bool cut = before >= 0 && ::ftruncate(file.descriptor(), before) == 0;
      fail("{}: cannot be written: {}{}", path_.string(), reason, cut ? "" : "; its last line is not whole");
    }
    done += static_cast<std::size_t>(wrote);
  }
}

void JsonLines::keep_if(const std::function<bool(const nlohmann::ordered_json&)>& keep) {
  const LockedFile file(path_);
  const std::string text = io::read_text(path_);
  std::string kept;
  std::size_t end = 0;
  // A last line without its newline: the writer was killed in the middle of it.
  for (std::size_t start = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    const std::string line = text.substr(start, end - start);
    const auto record = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    require(!record.is_discarded(), "{}: the line at byte {} is not JSON", path_.string(), start);
    if (keep(record)) kept += line + "\n";
  }
  io::write_file_atomic(path_, kept);
}

}  // namespace tweedie::experiments
