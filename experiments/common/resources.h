#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tweedie::experiments {

/// What this process may still allocate: the least of MemAvailable of /proc/meminfo, what the control group leaves
/// and what the address-space limit (ulimit -v) leaves. Bytes.
std::int64_t available_memory();
/// Free bytes, for this user, on the file system that holds `path` or its nearest existing parent.
std::int64_t available_disk(const std::filesystem::path& path);

/// Call before the run starts: throw Error naming need and supply when there is too little. `purpose` completes
/// "... for", e.g. "checkpoints and samples".
void require_memory(std::int64_t bytes, const std::string& purpose);
void require_disk(const std::filesystem::path& path, std::int64_t bytes, const std::string& purpose);

/// What a run will take, as it says before it starts.
struct RunEstimate {
  std::int64_t memory_bytes = 0;
  std::int64_t disk_bytes = 0;
  double seconds = 0;  // 0: not known
  double flops = 0;    // 0: not known

  /// Of two runs, one after the other.
  RunEstimate& operator+=(const RunEstimate& other);
};
/// Logs the estimate, then throws Error as require_memory and require_disk do where `out` or the machine is too small.
void announce(const RunEstimate& estimate, const std::filesystem::path& out);

/// "1.5 GiB".
std::string human_bytes(std::int64_t bytes);
/// "23 TFLOP".
std::string human_flops(double flops);
/// "35 s", "4 min 10 s", "2 h 5 min".
std::string human_duration(double seconds);

}  // namespace tweedie::experiments
