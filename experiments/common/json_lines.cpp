#include "experiments/common/json_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "experiments/common/atomic_file.h"
#include "kernels/runtime/error.h"

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

}  // namespace

void require_finite(const nlohmann::ordered_json& value, const std::string& what) {
  require_finite_at(value, what, "");
}

JsonLines::JsonLines(std::filesystem::path path) : path_(std::move(path)) {
  open();
}

JsonLines::~JsonLines() {
  if (file_ >= 0) ::close(file_);
}

void JsonLines::open() {
  if (file_ >= 0) ::close(file_);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  require(file_ >= 0, "{}: cannot be opened for appending: {}", path_.string(), std::strerror(errno));
}

void JsonLines::append(const nlohmann::ordered_json& record) {
  require_finite(record, path_.filename().string());
  const std::string line = record.dump() + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t wrote = ::write(file_, line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    require(wrote > 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
    done += static_cast<std::size_t>(wrote);
  }
}

void JsonLines::keep_if(const std::function<bool(const nlohmann::ordered_json&)>& keep) {
  std::ifstream input(path_, std::ios::binary);
  require(input.good(), "{}: cannot be read: {}", path_.string(), std::strerror(errno));
  std::string kept;
  std::size_t offset = 0;
  for (std::string line; std::getline(input, line); offset += line.size() + 1) {
    if (input.eof()) break;  // no newline: the writer was killed in the middle of it
    const auto record = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    require(!record.is_discarded(), "{}: the line at byte {} is not JSON", path_.string(), offset);
    if (keep(record)) kept += line + "\n";
  }
  write_file_atomic(path_, kept);
  open();
}

}  // namespace tweedie::experiments
