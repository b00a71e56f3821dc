#include "kernels/runtime/random.h"

#include "tests/reference/random.h"

namespace tweedie {
namespace {

void fill_normal_reference(Stream&, const FillNormal& arguments) {
  const std::int64_t width = arguments.out.shape[1];
  for (std::int64_t n = 0; n < arguments.out.shape[0]; ++n) {
    const std::int64_t sample =
        arguments.samples ? arguments.samples.as<std::int64_t>()[n] : arguments.first_sample + n;
    for (std::int64_t j = 0; j < width; ++j)
      arguments.out.as<double>()[n * width + j] =
          reference_normal(arguments.key, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(j));
  }
}

const bool registered = fill_normal.implement(DeviceKind::reference, &fill_normal_reference);

}  // namespace
}  // namespace tweedie
