#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime/device.h"

namespace tweedie::experiments {

class CommandLine;

/// Where and how a run goes: --out --quick --resume --overwrite --dry-run.
struct RunOptions {
  std::string out;
  bool quick = false;
  bool resume = false;
  bool overwrite = false;
  bool dry_run = false;
};

/// What it computes on: --seed --device --threads --log-level.
struct ComputeOptions {
  std::uint64_t seed = 0;
  std::string device = "auto";
  int threads = 0;  // 0: all
  std::string log_level = "info";
};

/// What it computes with: --data --resolution --classes --subset --subset-seed.
struct DataOptions {
  std::string data = "fashion-mnist";
  int resolution = 0;        // 0: as the data come
  std::vector<int> classes;  // empty: all
  std::int64_t subset = 0;   // 0: all
  std::uint64_t subset_seed = 0;
};

void add_options(CommandLine& line, RunOptions& options);
void add_options(CommandLine& line, ComputeOptions& options);
void add_options(CommandLine& line, DataOptions& options);

/// Sets the thread count and the log level and returns the device. Throws UsageError where it cannot be had.
Device apply(const ComputeOptions& options);

}  // namespace tweedie::experiments
