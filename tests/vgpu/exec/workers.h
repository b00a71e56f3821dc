// The threads that run blocks.
#pragma once
#include "exec/machine.h"

namespace tweedie::vgpu {

void run_on_workers(Launch& launch);
void run_worker(Launch& launch, Worker& worker);  // exec/scheduler.cpp

}  // namespace tweedie::vgpu
