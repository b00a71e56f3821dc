#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace tweedie::experiments {

class CommandLine;
class JsonLines;
struct RunOptions;

/// What to do when the folder already holds a run.
enum class Existing { refuse, resume, overwrite };
/// As --resume and --overwrite say. Throws UsageError where both are given.
Existing existing_of(const RunOptions& options);

/// The folder of one run:
///   config.json    program, command, resolved options, build, host, date; a usable --config file
///   metrics.jsonl  one record a line, written as the run goes
///   results.json   the claims as numbers: no times, hosts or paths, so that the same command gives the same file
///   report.html, arrays/*.npy, images/*.png, checkpoints/; cells/*.json, the finished cells of a sweep
/// The folder is locked while this object lives: a second run in it is refused.
class RunFolder {
 public:
  /// Makes or enters the folder. Throws UsageError when it is not empty and `existing` is refuse, when it holds files
  /// that no run made, or when a run to resume had other options (but for --out, --threads, --log-level and those in
  /// `may_differ`); Error when it cannot be written or is in use. Resuming a folder without a run begins one.
  RunFolder(const std::filesystem::path& path, Existing existing, const nlohmann::ordered_json& config,
            const std::vector<std::string>& may_differ = {});
  /// The usual way: from --out, --resume and --overwrite. `resolved` is added to config.json (e.g. the device chosen).
  RunFolder(const RunOptions& options, const CommandLine& line, const nlohmann::ordered_json& resolved,
            const std::vector<std::string>& may_differ = {});
  ~RunFolder();
  /// What can be known of --out before long work: throws as the constructor would where the folder is not empty, holds
  /// no run, or lies where no folder can be made or written. Makes nothing.
  static void check(const RunOptions& options);
  static void check(const std::filesystem::path& path, Existing existing);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path arrays() const { return path_ / "arrays"; }
  std::filesystem::path images() const { return path_ / "images"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path cells() const { return path_ / "cells"; }
  std::filesystem::path report() const { return path_ / "report.html"; }
  /// Whether an earlier run is being continued.
  bool resumed() const { return resumed_; }

  /// Appends to metrics.jsonl: written out when this returns.
  JsonLines& metrics() { return *metrics_; }
  /// On resuming from a checkpoint of step `step`: drops the records with a greater "step".
  void cut_metrics(std::int64_t step);

  /// Writes results.json, atomically. Throws Error naming the key of a number that is not finite.
  void write_results(const nlohmann::ordered_json& results) const;

 private:
  struct Contents;
  static Contents look_into(const std::filesystem::path& path, Existing existing);
  void enter(Existing existing, const nlohmann::ordered_json& config, const std::vector<std::string>& may_differ);
  std::filesystem::path path_;
  std::unique_ptr<JsonLines> metrics_;
  int lock_ = -1;
  bool resumed_ = false;
};

/// The config.json of a run begun now by `line`.
nlohmann::ordered_json run_config(const CommandLine& line, const nlohmann::ordered_json& resolved);

}  // namespace tweedie::experiments
