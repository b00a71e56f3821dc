// The PTX text in a fat binary.
#pragma once
#include <string>

namespace tweedie::vgpu {

// The text for the newest architecture not above `architecture`, else for the oldest above it. Empty, with `problem`
// set, when there is none that can be read.
std::string find_ptx(const void* fat_binary_wrapper, int architecture, std::string& problem);

// The oldest architecture that it has PTX for; 0 for none.
int oldest_ptx(const void* fat_binary_wrapper);

}  // namespace tweedie::vgpu
