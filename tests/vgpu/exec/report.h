// Messages of the virtual GPU, counted: a program that had any ends with status kFindingStatus.
#pragma once
#include <string>

namespace tweedie::vgpu {

constexpr int kFindingStatus = 86;

void report(const std::string& text);
int report_count();

}  // namespace tweedie::vgpu
