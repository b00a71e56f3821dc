#pragma once

#include <map>
#include <string>

namespace tweedie::kernel_table {

/// What the compiler gave a kernel on sm_80.
struct Resources {
  int registers = 0;
  int spilled_bytes = 0;  // stored and loaded
};

/// The figures of every kernel in an executable: its PTX is taken out and compiled once more with `ptxas -v`.
/// Throws std::runtime_error where the file has no PTX or ptxas fails.
std::map<std::string, Resources> resources_of(const std::string& executable, const std::string& ptxas);

/// Warps that a multiprocessor of sm_80 keeps resident: 64 warps, 65536 registers, 164 KiB of shared memory, 32 blocks.
int resident_warps(const Resources& resources, int block_threads, long shared_bytes);

/// What a command prints on its standard output. Throws std::runtime_error where it fails.
std::string output_of(const std::string& command);

}  // namespace tweedie::kernel_table
