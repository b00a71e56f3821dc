#include "experiments/common/atomic_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/runtime/error.h"

namespace tweedie::experiments {

void write_file_atomic(const std::filesystem::path& path, std::string_view contents) {
  const std::string beside = path.string() + ".partial";
  std::FILE* file = std::fopen(beside.c_str(), "wb");
  require(file != nullptr, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  const bool written = std::fwrite(contents.data(), 1, contents.size(), file) == contents.size();
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed || std::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(beside.c_str());
    fail("{}: cannot be written: {}", path.string(), std::strerror(error));
  }
}

}  // namespace tweedie::experiments
