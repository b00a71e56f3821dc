// What the generated stubs of every other entry point call.
#include <unistd.h>

#include <cstdio>

#include "exec/report.h"

extern "C" [[noreturn, gnu::visibility("default")]] void vgpu_missing(const char* name) {
  tweedie::vgpu::report(std::string("unsupported: the virtual GPU lacks the entry point ") + name);
  std::fflush(nullptr);
  _exit(tweedie::vgpu::kFindingStatus);
}
