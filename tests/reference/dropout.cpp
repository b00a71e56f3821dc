#include "kernels/dropout/dropout.h"

namespace tweedie {
namespace {

void dropout_reference(Stream&, const Dropout& arguments) {
  const std::int64_t width = arguments.x.shape[1];
  for (std::int64_t n = 0; n < arguments.x.shape[0]; ++n)
    for (std::int64_t j = 0; j < width; ++j) {
      const auto sample = static_cast<std::uint32_t>(arguments.samples.as<std::int64_t>()[n]);
      const bool keep = uniform(arguments.key, sample, static_cast<std::uint32_t>(j)) >= arguments.probability;
      const double value = keep ? arguments.x.as<double>()[n * width + j] / (1.0 - arguments.probability) : 0.0;
      double& y = arguments.y.as<double>()[n * width + j];
      y = (arguments.write == Write::accumulate ? y : 0.0) + value;
    }
}

const bool registered = apply_dropout.implement(DeviceKind::reference, &dropout_reference);

}  // namespace
}  // namespace tweedie
