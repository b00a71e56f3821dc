#include "kernels/noising/noising.h"

#include "tests/reference/random.h"

namespace tweedie {
namespace {

void noise_images_reference(Stream&, const NoiseImages& a) {
  const std::int64_t width = a.images.shape[1];
  for (std::int64_t n = 0; n < a.z.shape[0]; ++n)
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t source = a.indices.as<std::int64_t>()[n] * width + j, i = n * width + j;
      const double x = a.images.dtype == DType::uint8 ? a.images.as<std::uint8_t>()[source] / 127.5 - 1.0
                                                      : a.images.as<double>()[source];
      const double e = reference_normal(a.key, static_cast<std::uint32_t>(a.samples.as<std::int64_t>()[n]),
                                        static_cast<std::uint32_t>(j));
      a.z.as<double>()[i] = a.alpha.as<double>()[n] * x + a.sigma.as<double>()[n] * e;
      if (a.target) a.target.as<double>()[i] = a.target_clean.as<double>()[n] * x + a.target_noise.as<double>()[n] * e;
      if (a.clean) a.clean.as<double>()[i] = x;
      if (a.noise) a.noise.as<double>()[i] = e;
    }
}

const bool registered = noise_images.implement(DeviceKind::reference, &noise_images_reference);

}  // namespace
}  // namespace tweedie
