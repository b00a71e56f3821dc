// Runs a launch to its end.
#pragma once
#include "exec/machine.h"

namespace tweedie::vgpu {

// The CUDA error that the launch ends with, 0 for none. The launch is valid: its limits have been checked.
int run_launch(Launch& launch);

// Whether this worker has executed an atomic since the flag was cleared: a loop of such may be waiting for other lanes.
bool& polled();

}  // namespace tweedie::vgpu
