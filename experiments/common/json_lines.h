#pragma once

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <functional>

namespace tweedie::experiments {

/// Throws Error naming the first number of `value` that is not finite, as "contrastive[3].error"; JSON has none such.
void require_finite(const nlohmann::ordered_json& value, const std::string& what);

/// A file of one JSON object a line, each on disk (in the kernel's hands) when `append` returns. The processes of one
/// run (jobs.h) may write to it beside each other.
class JsonLines {
 public:
  /// The file is made if absent.
  explicit JsonLines(std::filesystem::path path);

  /// Throws Error when the record has a number that is not finite or the disk does not take the line.
  void append(const nlohmann::ordered_json& record);
  /// Drops the lines for which `keep` is false, and a last line that was cut short; in one atomic step.
  void keep_if(const std::function<bool(const nlohmann::ordered_json&)>& keep);

 private:
  std::filesystem::path path_;
};

}  // namespace tweedie::experiments
