#include "kernels/noising/noising.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const NoiseImages& arguments) {
  constexpr std::string_view name = "noise_images";
  require_rank(name, "images", arguments.images, 2);
  require_rank(name, "z", arguments.z, 2);
  const std::int64_t samples = arguments.z.shape[0];
  require_shape(name, "z", arguments.z, {samples, arguments.images.shape[1]});
  if (arguments.images.dtype != DType::uint8) require_wide_dtype(name, "images", arguments.images, arguments.z);
  for (const auto& [operand, array] : {std::pair{"indices", &arguments.indices}, {"samples", &arguments.samples}}) {
    require_shape(name, operand, *array, {samples});
    require_dtype(name, operand, *array, DType::int64);
  }
  require_shape(name, "alpha", arguments.alpha, {samples});
  require_shape(name, "sigma", arguments.sigma, {samples});
  require_optional_shape(name, "target", arguments.target, arguments.z.shape);
  require_optional_shape(name, "clean", arguments.clean, arguments.z.shape);
  require_optional_shape(name, "noise", arguments.noise, arguments.z.shape);
  if (arguments.target) {
    require_shape(name, "target_clean", arguments.target_clean, {samples});
    require_shape(name, "target_noise", arguments.target_noise, {samples});
  }
  for (const auto& [operand, array] : {std::pair{"alpha", &arguments.alpha},
                                       {"sigma", &arguments.sigma},
                                       {"target_clean", &arguments.target_clean},
                                       {"target_noise", &arguments.target_noise}})
    require_wide_dtype(name, operand, *array, arguments.z);
  for (const auto& [operand, array] :
       {std::pair{"target", &arguments.target}, {"clean", &arguments.clean}, {"noise", &arguments.noise}})
    require_same_dtype(name, operand, *array, arguments.z);
}
double flops(const NoiseImages& arguments) {
  return (arguments.target ? 27.0 : 24.0) * static_cast<double>(arguments.z.count());  // 20 of them for the normals
}
double bytes_moved(const NoiseImages& arguments) {
  return static_cast<double>(arguments.z.count()) * static_cast<double>(size_of(arguments.images.dtype)) +
         bytes_of(arguments.z) + bytes_of(arguments.target) + bytes_of(arguments.clean) + bytes_of(arguments.noise);
}

}  // namespace tweedie
