#include "kernels/runtime/device.h"

#include <charconv>

#include "kernels/runtime/error.h"
#include "kernels/runtime/stream.h"

namespace tweedie {

std::string_view name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
    case DeviceKind::reference:
      return "reference";
  }
  return "unknown";
}

Device parse_device(std::string_view text) {
  if (text == "cpu") return {DeviceKind::cpu, 0};
  if (text == "auto") return {why_unavailable({DeviceKind::cuda, 0}).empty() ? DeviceKind::cuda : DeviceKind::cpu, 0};
  if (text == "cuda" || text.starts_with("cuda:")) {
    int index = 0;
    if (text.size() > 5) {
      const auto [end, error] = std::from_chars(text.data() + 5, text.data() + text.size(), index);
      if (error != std::errc() || end != text.data() + text.size() || index < 0)
        throw UsageError(fmt::format("device '{}': expected cuda:INDEX with an index from 0", text));
    } else if (text.size() == 5) {
      throw UsageError("device 'cuda:': expected cuda:INDEX with an index from 0");
    }
    require(has_backend(DeviceKind::cuda),
            "device '{}': this build has no CUDA backend; use --device cpu, or configure with preset cuda", text);
    const std::string problem = why_unavailable({DeviceKind::cuda, index});
    require(problem.empty(), "device '{}': {}; use --device cpu", text, problem);
    return {DeviceKind::cuda, index};
  }
  throw UsageError(fmt::format("device '{}': expected auto, cpu, cuda or cuda:INDEX", text));
}

}  // namespace tweedie
