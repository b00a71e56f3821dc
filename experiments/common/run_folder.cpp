#include "experiments/common/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "experiments/common/build_info.h"
#include "experiments/common/command_line.h"
#include "experiments/common/json_lines.h"
#include "experiments/common/options.h"
#include "kernels/runtime/error.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::array<const char*, 8> own_entries = {"config.json", "metrics.jsonl", "results.json", "report.html",
                                                    "arrays",      "images",        "checkpoints",  "cells"};

ordered_json read_config(const fs::path& file) {
  ordered_json config = ordered_json::parse(io::read_text(file), nullptr, /*allow_exceptions=*/false);
  require(config.is_object() && config.contains("program") && config.contains("options") &&
              config.at("options").is_object(),
          "{}: not the config.json of a run", file.string());
  return config;
}

// What an atomic write that was killed leaves: ".config.json.partial-...".
bool is_leftover(const std::string& name) {
  return std::any_of(own_entries.begin(), own_entries.end(),
                     [&name](const char* own) { return name.rfind(fmt::format(".{}.partial", own), 0) == 0; });
}

// Throws UsageError unless the run described by `before` is continued by one described by `now`.
void require_same_run(const fs::path& path, const ordered_json& before, const ordered_json& now,
                      std::vector<std::string> may_differ) {
  const auto refuse = [&path](const std::string& what, const ordered_json& was, const ordered_json& is) {
    throw UsageError(
        fmt::format("--resume: the run in {} has {} {}, not {}", path.string(), what, was.dump(), is.dump()));
  };
  if (before.at("program") != now.at("program")) refuse("program", before.at("program"), now.at("program"));
  may_differ.insert(may_differ.end(), {"out", "threads", "log-level"});
  const ordered_json& old_options = before.at("options");
  for (const auto& [name, value] : now.at("options").items()) {
    if (std::find(may_differ.begin(), may_differ.end(), name) != may_differ.end()) continue;
    const ordered_json old_value = old_options.contains(name) ? old_options.at(name) : ordered_json();
    if (old_value != value) refuse("--" + name, old_value, value);
  }
}

// Arguments and host names may hold any bytes: what is not UTF-8 is replaced.
std::string config_text(const ordered_json& config) {
  return config.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  require(!error, "{}: the folder cannot be made: {}", path.string(), error.message());
}

}  // namespace

Existing existing_of(const RunOptions& options) {
  if (options.resume && options.overwrite) throw UsageError("--resume and --overwrite exclude each other");
  return options.resume ? Existing::resume : options.overwrite ? Existing::overwrite : Existing::refuse;
}

ordered_json run_config(const CommandLine& line, const ordered_json& resolved) {
  ordered_json config = {{"program", line.program().name}, {"command", line.command()}, {"options", line.options()}};
  for (const auto& [key, value] : resolved.items()) config[key] = value;
  config["build"] = build_info();
  config["host"] = host_info();
  config["date"] = utc_now();
  return config;
}

RunFolder::RunFolder(const RunOptions& options, const CommandLine& line, const ordered_json& resolved,
                     const std::vector<std::string>& may_differ)
    : RunFolder(options.out, existing_of(options), run_config(line, resolved), may_differ) {}

RunFolder::RunFolder(const fs::path& path, Existing existing, const ordered_json& config,
                     const std::vector<std::string>& may_differ)
    : path_(path) {
  if (path.empty()) throw UsageError("--out: expected the name of a folder");
  make_folder(path_);
  // The lock is the kernel's, on the folder itself: it goes with the process, however that ends.
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(lock_ >= 0, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  try {
    require(::flock(lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, "{}: another run is using this folder",
            path_.string());
    enter(existing, config, may_differ);
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  ::close(lock_);
}

struct RunFolder::Contents {
  bool holds_run = false;
  std::vector<fs::path> leftovers;
};

RunFolder::Contents RunFolder::look_into(const fs::path& path, Existing existing) {
  Contents contents;
  bool empty = true, foreign = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (is_leftover(name)) {
      contents.leftovers.push_back(entry.path());
      continue;
    }
    empty = false;
    foreign = foreign || std::find(own_entries.begin(), own_entries.end(), name) == own_entries.end();
  }
  contents.holds_run = fs::exists(path / "config.json");
  if (!empty && existing == Existing::refuse) {
    throw UsageError(fmt::format(
        "--out {}: the folder is not empty: choose another, or {}", path.string(),
        contents.holds_run ? "give --resume to go on with the run it holds or --overwrite to delete it" : "empty it"));
  }
  if (!contents.holds_run && foreign) {
    throw UsageError(fmt::format("--out {}: the folder holds files but no run (no config.json)", path.string()));
  }
  return contents;
}

void RunFolder::check(const RunOptions& options) {
  check(options.out, existing_of(options));
}

void RunFolder::check(const fs::path& path, Existing existing) {
  if (path.empty()) throw UsageError("--out: expected the name of a folder");
  std::error_code error;
  fs::path place = fs::absolute(path);
  while (!fs::exists(fs::symlink_status(place, error)) && place.has_relative_path()) place = place.parent_path();
  require(fs::is_directory(place, error), "{}: the folder cannot be made: {} is not a folder", path.string(),
          place.string());
  require(::access(place.c_str(), W_OK | X_OK) == 0, "{}: the folder cannot be written: {}: {}", path.string(),
          place.string(), std::strerror(errno));
  if (fs::is_directory(path, error)) look_into(path, existing);
}

void RunFolder::enter(Existing existing, const ordered_json& config, const std::vector<std::string>& may_differ) {
  const auto [holds_run, leftovers] = look_into(path_, existing);
  const fs::path config_file = path_ / "config.json";
  for (const fs::path& leftover : leftovers) fs::remove(leftover);
  if (existing == Existing::overwrite) {
    if (holds_run) read_config(config_file);  // deletes nothing but a run
    for (const char* own : own_entries) fs::remove_all(path_ / own);
  }
  if (existing == Existing::resume && holds_run) {
    ordered_json before = read_config(config_file);
    require_same_run(path_, before, config, may_differ);
    ordered_json again = config;
    again.erase("program");
    before["options"] = again["options"];
    again.erase("options");
    before["resumed"].push_back(again);
    io::write_file_atomic(config_file, config_text(before));
    resumed_ = true;
  } else {
    io::write_file_atomic(config_file, config_text(config));
  }
  for (const fs::path& folder : {arrays(), images(), checkpoints()}) make_folder(folder);
  metrics_ = std::make_unique<JsonLines>(path_ / "metrics.jsonl");
}

void RunFolder::cut_metrics(std::int64_t step) {
  metrics_->keep_if([step](const ordered_json& record) {
    return !record.contains("step") || record.at("step").get<std::int64_t>() <= step;
  });
}

void RunFolder::write_results(const ordered_json& results) const {
  require_finite(results, "results.json");
  io::write_file_atomic(path_ / "results.json", results.dump(2) + "\n");
}

}  // namespace tweedie::experiments
