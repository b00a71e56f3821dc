// The device that the virtual GPU claims to be: an A100 or, where VGPU_ARCH says so, an H100.
#pragma once
#include "core/types.h"

namespace tweedie::vgpu {

struct Device {
  const char* name;
  int major, minor;
  int multiprocessors = 108;
  int threads_per_block = 1024, threads_per_multiprocessor = 2048, blocks_per_multiprocessor = 32;
  int registers = 65536;
  u64 shared_per_block = 48 * 1024, shared_opt_in, shared_per_multiprocessor;
  u64 constant_bytes = 64 * 1024, l2_bytes = 40ull << 20;
  int clock_khz = 1410000, memory_clock_khz = 1215000, bus_width = 5120;
};

const Device& this_device();

}  // namespace tweedie::vgpu
