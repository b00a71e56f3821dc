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

/// What it computes on and how: --seed --device --matmul --conv --tf32 --precision --threads --log-level.
struct ComputeOptions {
  std::uint64_t seed = 0;
  std::string device = "auto";
  std::string matmul = "native", conv = "native";  // on cuda: native, the library's name, or auto
  bool tf32 = false;
  std::string precision = "float32";  // of networks
  int threads = 0;                    // 0: all
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

/// Sets the thread count, the log level, the choices on cuda and the networks' precision, and returns the device.
/// Throws UsageError where it cannot be had, Error where a library is asked for that this machine lacks.
Device apply(const ComputeOptions& options);

/// The choices that apply() made, in words: "matmul native, conv cudnn, no TF32"; of the cpu "oneDNN, own kernels".
std::string algorithms_on(DeviceKind kind);

}  // namespace tweedie::experiments
