// What vgpu-run was asked for, read once from the environment that it sets.
#pragma once
#include <string>

#include "core/types.h"

namespace tweedie::vgpu {

enum class Streams : u8 { issue, late, random };  // when a stream's operations run

struct Settings {
  bool memory = true, initialised = false, race = false, sync = false;  // VGPU_CHECK: mem,init,race,sync or none
  bool calls = false;                                                   // VGPU_CHECK: api
  u64 seed = 0;           // VGPU_SEED: 0 runs blocks and warps in order, another number shuffles them
  std::string mutate;     // VGPU_MUTATE: the kernel that loses its last store; empty for none
  std::string profile;    // VGPU_PROFILE: where the JSON goes; empty for none
  int architecture = 0;   // VGPU_ARCH: the compute capability that the device claims; 0 for what the program needs
  int workers = 0;        // VGPU_THREADS: 0 for every core
  u64 device_memory = 0;  // VGPU_MEMORY: bytes of device memory; 0 for three quarters of the host's
  Streams streams = Streams::issue;  // VGPU_STREAMS: as issued, as late as is legal, or in an order drawn from the seed
};

const Settings& settings();
inline bool deferred() {
  return settings().streams != Streams::issue;
}

}  // namespace tweedie::vgpu
