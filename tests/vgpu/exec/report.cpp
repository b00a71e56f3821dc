// Faults and findings: what happened, in which kernel, block and thread, at which source line.
#include "exec/report.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

#include "core/settings.h"
#include "exec/machine.h"

namespace tweedie::vgpu {
namespace {

constexpr int kMostReports = 50;
std::mutex mutex;
int reports = 0;

// Last of all destructors. The program's own exit status cannot hide a finding.
__attribute__((destructor(101))) void end_of_program() {
  if (reports == 0) return;
  std::fflush(nullptr);
  std::fprintf(stderr, "vgpu: %d error%s reported\n", reports, reports == 1 ? "" : "s");
  std::fflush(nullptr);
  _exit(kFindingStatus);
}

}  // namespace

int report_count() {
  return reports;
}

void report(const std::string& text) {
  const std::lock_guard lock(mutex);
  if (++reports <= kMostReports) std::fprintf(stderr, "vgpu: %s\n", text.c_str());
  if (reports == kMostReports) std::fprintf(stderr, "vgpu: further reports are counted, not shown\n");
  std::fflush(stderr);
}

std::string where(const Warp& warp, const Inst* in, u32 lane) {
  const Block& block = *warp.block;
  const Launch& launch = *block.launch;
  const u32 thread = warp.index * kLanes + lane;
  const u32 x = thread % launch.block[0], y = thread / launch.block[0] % launch.block[1],
            z = thread / launch.block[0] / launch.block[1];
  return fmt::format("kernel {}, block ({}, {}, {}), thread ({}, {}, {}), at {}", launch.program->name, block.index[0],
                     block.index[1], block.index[2], x, y, z, launch.program->describe(in->source));
}

const Inst* fault(Warp& warp, const Inst* in, FaultKind kind, u32 lane, const std::string& what) {
  warp.stop = Stop::fault;
  warp.resume = in;
  Launch& launch = *warp.block->launch;
  static const struct {
    const char* check;
    int error;
  } kinds[] = {{"memcheck", 700}, {"memcheck", 716},    {"assert", 710},
               {"trap", 719},     {"unsupported", 801}, {"deadlock", 719}};
  const auto& entry = kinds[static_cast<int>(kind)];
  {
    const std::lock_guard lock(launch.mutex);
    if (launch.failed) return nullptr;
    launch.error = entry.error;
    launch.failed = true;
  }
  report(fmt::format("{}: {}\n      in {}", entry.check, what, where(warp, in, lane)));
  if (kind == FaultKind::unsupported) {
    std::fflush(nullptr);
    _exit(kFindingStatus);
  }
  return nullptr;
}

void finding(const Warp& warp, const Inst* in, const char* check, u32 lane, const std::string& what) {
  // One report for each check and instruction of a launch says enough.
  static auto& seen = *new std::set<std::tuple<u32, std::string, u32>>;  // kernels may run while the program ends
  {
    const std::lock_guard lock(mutex);
    if (!seen.insert({warp.block->launch->number, check, in->source}).second) return;
  }
  report(fmt::format("{}: {}\n      in {}", check, what, where(warp, in, lane)));
}

std::string Program::describe(u32 source) const {
  const Source& s = sources[source];
  std::string text;
  if (s.line) {
    const auto file = files.find(s.file);
    text = fmt::format("{}:{}: ", file == files.end() ? "?" : file->second, s.line);
  }
  return text + "`" + s.text + "`" + (s.function == name ? "" : " of " + s.function);
}

}  // namespace tweedie::vgpu
