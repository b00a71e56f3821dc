#include "core/settings.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace tweedie::vgpu {
namespace {

const char* text_of(const char* name) {
  const char* text = std::getenv(name);
  return text && *text ? text : nullptr;
}

// Without destructors: those would ask for the settings that are being read.
[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "vgpu: unknown %s\n", what.c_str());
  std::fflush(nullptr);
  _exit(2);
}

Settings read() {
  Settings result;
  if (const char* text = text_of("VGPU_CHECK")) {
    result.memory = false;
    std::string list(text);
    for (std::size_t at = 0; at <= list.size();) {
      const std::size_t comma = std::min(list.find(',', at), list.size());
      const std::string word = list.substr(at, comma - at);
      at = comma + 1;
      if (word == "mem")
        result.memory = true;
      else if (word == "init")
        result.initialised = true;
      else if (word == "race")
        result.race = true;
      else if (word == "sync")
        result.sync = true;
      else if (word == "api")
        result.calls = true;
      else if (word == "all")
        result.memory = result.initialised = result.race = result.sync = true;
      else if (word != "none" && !word.empty())
        refuse("check '" + word + "': expected mem, init, race, sync, api, all or none");
    }
  }
  if (const char* text = text_of("VGPU_SEED")) result.seed = std::strtoull(text, nullptr, 10);
  if (const char* text = text_of("VGPU_STREAMS")) {
    const std::string order(text);
    if (order != "issue" && order != "late" && order != "random")
      refuse("order of streams '" + order + "': expected issue, late or random");
    result.streams = order == "late" ? Streams::late : order == "random" ? Streams::random : Streams::issue;
  }
  if (const char* text = text_of("VGPU_MUTATE")) result.mutate = text;
  if (const char* text = text_of("VGPU_PROFILE")) result.profile = text;
  if (const char* text = text_of("VGPU_ARCH")) result.architecture = std::atoi(text);
  if (const char* text = text_of("VGPU_THREADS")) result.workers = std::atoi(text);
  if (result.workers <= 0) result.workers = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (const char* text = text_of("VGPU_MEMORY")) result.device_memory = std::strtoull(text, nullptr, 10);
  if (result.device_memory == 0)
    result.device_memory = static_cast<u64>(sysconf(_SC_PHYS_PAGES)) * static_cast<u64>(sysconf(_SC_PAGESIZE)) / 4 * 3;
  return result;
}

}  // namespace

const Settings& settings() {
  static const Settings* instance = new Settings(read());  // the profile is written after every static destructor
  return *instance;
}

}  // namespace tweedie::vgpu
