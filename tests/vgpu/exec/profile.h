// Counters of a launch, gathered by worker, summed by kernel and written as JSON when the program ends.
#pragma once
#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "exec/access.h"
#include "exec/machine.h"

namespace tweedie::vgpu {

struct Counters {
  struct Memory {
    u64 requests = 0, sectors = 0, bytes = 0;                // global: a warp's request, 32-byte sectors, bytes asked
    u64 shared_requests = 0, wavefronts = 0, conflicts = 0;  // shared: wavefronts beyond one a request's phase
  };
  std::vector<u64> warps, lanes;  // by instruction: how often, and for how many threads
  std::vector<Memory> memory;     // by instruction
  // Touched sectors: by 4 KiB page, 128 bits each for reads and writes.
  std::unordered_map<u64, std::array<u64, 4>> pages;
};

inline void count_instruction(Counters& counters, u32 number, u32 mask) {
  ++counters.warps[number];
  counters.lanes[number] += static_cast<u32>(__builtin_popcount(mask));
}
void count_access(Counters& counters, u32 number, const u64* addresses, u32 mask, u32 bytes, SpaceKind space,
                  bool write);

std::unique_ptr<Counters> make_counters(const Launch& launch);  // null when no profile is wanted
void add_counters(Launch& launch, const Counters& counters);    // once for each worker of a launch

}  // namespace tweedie::vgpu
