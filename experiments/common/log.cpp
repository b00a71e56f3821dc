#include "experiments/common/log.h"

#include <atomic>
#include <cstdio>

#include "experiments/common/progress.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {
std::atomic<LogLevel> current{LogLevel::info};
}

LogLevel parse_log_level(std::string_view text) {
  if (text == "quiet") return LogLevel::quiet;
  if (text == "info") return LogLevel::info;
  if (text == "debug") return LogLevel::debug;
  throw UsageError(fmt::format("--log-level: got '{}', expected quiet, info or debug", text));
}

void set_log_level(LogLevel level) {
  current = level;
}

LogLevel log_level() {
  return current;
}

void log_line(LogLevel level, const std::string& text) {
  if (level > current) return;
  Progress::clear_line();
  std::fputs((text + "\n").c_str(), stderr);  // never throws: a run outlives its terminal
}

}  // namespace tweedie::experiments
