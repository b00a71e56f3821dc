#include "kernels/runtime/device_timer.h"

#include <chrono>

namespace tweedie {
namespace {

DeviceTimer& timer_of(DeviceKind kind) {
  static DeviceTimer timers[device_kinds] = {};
  return timers[static_cast<int>(kind)];
}

}  // namespace

bool register_timer(DeviceKind kind, DeviceTimer timer) {
  timer_of(kind) = timer;
  return true;
}

double seconds_on_device(Stream& stream, const std::function<void()>& work) {
  if (const DeviceTimer timer = timer_of(stream.device().kind); timer != nullptr) return timer(stream, work);
  stream.synchronize();
  const auto start = std::chrono::steady_clock::now();
  work();
  stream.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace tweedie
