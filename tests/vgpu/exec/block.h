// Blocks as objects that a worker reuses within a launch.
#pragma once
#include <memory>

#include "exec/machine.h"

namespace tweedie::vgpu {

// A block's registers hold the launch's constants and special registers once and for all.
std::unique_ptr<Block> make_block(Launch& launch, Worker& worker);
void start_block(Block& block, u64 number);

}  // namespace tweedie::vgpu
