#include "experiments/common/resources.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <system_error>

#include "experiments/common/log.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

std::int64_t memory_of_machine() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::int64_t kibibytes = 0;
  for (std::string unit; file >> key >> kibibytes; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return unlimited;
}

std::int64_t read_number(const char* file) {
  std::ifstream input(file);
  std::int64_t number = 0;
  return input >> number ? number : unlimited;  // "max" and absent files set no limit
}

std::int64_t memory_of_control_group() {
  const std::int64_t limit =
      std::min(read_number("/sys/fs/cgroup/memory.max"), read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  const std::int64_t used = std::min(read_number("/sys/fs/cgroup/memory.current"),
                                     read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes"));
  if (limit == unlimited || used == unlimited) return unlimited;
  // The file cache counts as used but is given back on demand; MemAvailable bounds the sum anyway.
  std::ifstream statistics("/sys/fs/cgroup/memory.stat");
  std::string key;
  std::int64_t value = 0, cache = 0;
  while (statistics >> key >> value) {
    if (key == "inactive_file" || key == "active_file") cache += value;
  }
  return std::max<std::int64_t>(0, limit - used + cache);
}

std::int64_t memory_of_address_space() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0;
  file >> pages;
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(limit.rlim_cur) - pages * sysconf(_SC_PAGESIZE));
}

}  // namespace

std::int64_t available_memory() {
  return std::min({memory_of_machine(), memory_of_control_group(), memory_of_address_space()});
}

std::int64_t available_disk(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path place = std::filesystem::absolute(path);
  while (!std::filesystem::exists(place, error) && place.has_relative_path()) place = place.parent_path();
  const std::filesystem::space_info space = std::filesystem::space(place, error);
  require(!error, "{}: cannot tell how much room its disk has: {}", path.string(), error.message());
  return static_cast<std::int64_t>(std::min<std::uintmax_t>(space.available, static_cast<std::uintmax_t>(unlimited)));
}

void require_memory(std::int64_t bytes, const std::string& purpose) {
  const std::int64_t available = available_memory();
  require(bytes <= available, "too little memory: this run needs about {} for {}, {} is available", human_bytes(bytes),
          purpose, human_bytes(available));
}

void require_disk(const std::filesystem::path& path, std::int64_t bytes, const std::string& purpose) {
  const std::int64_t available = available_disk(path);
  require(bytes <= available, "{}: too little disk: this run needs about {} for {}, {} is free", path.string(),
          human_bytes(bytes), purpose, human_bytes(available));
}

RunEstimate& RunEstimate::operator+=(const RunEstimate& other) {
  memory_bytes = std::max(memory_bytes, other.memory_bytes);
  disk_bytes += other.disk_bytes;
  seconds += other.seconds;
  flops += other.flops;
  return *this;
}

void announce(const RunEstimate& estimate, const std::filesystem::path& out) {
  log_info("this run takes about {}{}{} of memory, {} of disk{}{}",
           estimate.flops > 0 ? human_flops(estimate.flops) : "", estimate.flops > 0 ? ", " : "",
           human_bytes(estimate.memory_bytes), human_bytes(estimate.disk_bytes), estimate.seconds > 0 ? " and " : "",
           estimate.seconds > 0 ? human_duration(estimate.seconds) : "");
  require_memory(estimate.memory_bytes, "its arrays");
  require_disk(out, estimate.disk_bytes, "what it writes");
}

std::string human_bytes(std::int64_t bytes) {
  static constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (std::abs(value) >= 1024 && unit < 6) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} byte{}", bytes, bytes == 1 ? "" : "s")
                   : fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, units[unit]);
}

std::string human_flops(double flops) {
  static constexpr const char* units[] = {"MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"};
  double value = flops * 1e-6;
  int unit = 0;
  while (value >= 1000.0 && unit < 4) value /= 1000.0, ++unit;
  return fmt::format("{:.3g} {}", value, units[unit]);
}

std::string human_duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

}  // namespace tweedie::experiments
