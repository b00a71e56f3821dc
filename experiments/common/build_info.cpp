#include "experiments/common/build_info.h"

#include <oneapi/dnnl/dnnl_version.h>
#include <png.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>
#include <CLI/Version.hpp>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include <fmt/format.h>
#include <omp.h>

#include "git_revision.h"

namespace tweedie::experiments {

std::string git_revision() {
  return TWEEDIE_GIT_REVISION;
}

std::string version() {
  return TWEEDIE_VERSION;
}

nlohmann::ordered_json build_info() {
  const auto dotted = [](auto... parts) {
    std::string text;
    ((text += (text.empty() ? "" : ".") + std::to_string(parts)), ...);
    return text;
  };
  nlohmann::ordered_json libraries;
  libraries["oneDNN"] = dotted(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
  libraries["highway"] = TWEEDIE_HIGHWAY_VERSION;
  libraries["fmt"] = dotted(FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
  libraries["CLI11"] = CLI11_VERSION;
  libraries["nlohmann_json"] =
      dotted(NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH);
  libraries["libpng"] = png_get_libpng_ver(nullptr);
  libraries["zlib"] = zlibVersion();
  return {{"version", version()},
          {"git_revision", git_revision()},
          {"compiler", fmt::format("{} {}",
#ifdef __clang__
                                   "clang", __clang_version__
#else
                                   "gcc", __VERSION__
#endif
                                   )},
          {"build_type", TWEEDIE_BUILD_TYPE},
          {"cuda", TWEEDIE_HAS_CUDA != 0},
          {"libraries", libraries}};
}

namespace {

// The value of the first line "key : value" of a file in /proc.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream input(file);
  for (std::string line; std::getline(input, line);) {
    const std::size_t colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    const std::size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "unknown";
}

}  // namespace

nlohmann::ordered_json host_info() {
  utsname system{};
  uname(&system);
  const long long pages = sysconf(_SC_PHYS_PAGES);
  return {{"name", system.nodename},
          {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
          {"processor", proc_value("/proc/cpuinfo", "model name")},
          {"cores", std::thread::hardware_concurrency()},
          {"threads", omp_get_max_threads()},
          {"memory_bytes", pages * sysconf(_SC_PAGESIZE)}};
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace tweedie::experiments
