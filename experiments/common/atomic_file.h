#pragma once

#include <filesystem>
#include <string_view>

namespace tweedie::experiments {

/// Replaces `path` by `contents`, or leaves it as it was.
void write_file_atomic(const std::filesystem::path& path, std::string_view contents);

}  // namespace tweedie::experiments
