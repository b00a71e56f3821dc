#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace tweedie::experiments {

enum class LogLevel { quiet, info, debug };

/// "quiet", "info" or "debug"; throws UsageError for anything else.
LogLevel parse_log_level(std::string_view text);
void set_log_level(LogLevel level);
LogLevel log_level();

/// One line on stderr, unless the level is below. Errors are exceptions, never log lines.
void log_line(LogLevel level, const std::string& text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::info) log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::debug) log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tweedie::experiments
