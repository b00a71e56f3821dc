// What every matrix operation begins with.
#pragma once
#include "exec/machine.h"

namespace tweedie::vgpu {

// Whether all 32 lanes are here. If some are elsewhere, the split waits for them; if some have ended, it is a fault.
bool gather_warp(Warp& warp, const Inst* in);

}  // namespace tweedie::vgpu
