#pragma once

#include <functional>

#include "kernels/runtime/stream.h"

namespace tweedie {

/// Seconds that `work` takes on the stream's device: on cuda between two events of the stream, elsewhere by the host's
/// clock. Returns when it is done.
double seconds_on_device(Stream& stream, const std::function<void()>& work);

/// How a backend makes its own clock known.
using DeviceTimer = double (*)(Stream& stream, const std::function<void()>& work);
bool register_timer(DeviceKind kind, DeviceTimer timer);

}  // namespace tweedie
