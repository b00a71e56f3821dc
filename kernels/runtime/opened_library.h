#pragma once

#include <map>
#include <mutex>
#include <string>

#include "kernels/runtime/error.h"
#include "kernels/runtime/library.h"

namespace tweedie {

/// What opening a library for one device gave: its entry points and handle, or why it cannot be used there.
template <class Context>
struct OpenedLibrary {
  Context context = {};
  std::string problem;  // empty where it can be used

  /// Throws Error naming `user`, what the library was wanted for, where there is a problem.
  const Context& for_use_by(std::string_view user) const {
    require(problem.empty(), "{}: {}", user, problem);
    return context;
  }
};

/// The library on a device, opened by the first call for that device. Never closed: the device may be gone before
/// static storage is. Each Context has one function that opens it.
template <class Context>
const OpenedLibrary<Context>& opened_on(Device device, OpenedLibrary<Context> (*open)(Device)) {
  static std::mutex mutex;
  static auto& devices = *new std::map<int, OpenedLibrary<Context>>;
  const std::lock_guard lock(mutex);
  const auto found = devices.find(device.index);
  return found != devices.end() ? found->second : devices.emplace(device.index, open(device)).first->second;
}

/// "CUDNN_STATUS_BAD_PARAM (3)", or "status 3" where the library has no name for it.
inline std::string status_text(const char* name, int status) {
  return name == nullptr ? fmt::format("status {}", status) : fmt::format("{} ({})", name, status);
}

}  // namespace tweedie
