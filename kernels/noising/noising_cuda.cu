#include <cstdio>

#include "kernels/noising/noising.h"
#include "kernels/runtime/philox.cuh"
#include "kernels/runtime/quads.cuh"

namespace tweedie {
namespace {

/// The operands of a call; target_clean, target_noise, target, clean and noise may be null.
template <class T>
struct NoisingPlan {
  const void* images;
  const std::int64_t *indices, *samples;
  const float *alpha, *sigma, *target_clean, *target_noise;
  T *z, *target, *clean, *noise;
  std::int64_t images_count, rows, width;
  RandomKey key;
  bool packed_images, packed;
};

/// v / 127.5 - 1 = (2 v - 255) / 255, with one rounding.
__device__ float pixel(std::uint8_t value) {
  return static_cast<float>(2 * static_cast<int>(value) - 255) / 255.0f;
}
__device__ float pixel(float value) {
  return value;
}

/// One block of Philox, four pixels, a thread.
template <class T, class Image>
__global__ void noise_images_kernel(const __grid_constant__ NoisingPlan<T> plan) {
  for_each_quad(plan.rows, plan.width, [&](std::int64_t row, std::int64_t column, int count) {
    const std::int64_t index = plan.indices[row];
    if (index < 0 || index >= plan.images_count) {
      printf("noise_images: indices[%lld] is %lld, expected 0 to %lld\n", static_cast<long long>(row),
             static_cast<long long>(index), static_cast<long long>(plan.images_count - 1));
      __trap();
    }
    const auto image =
        load_quad(static_cast<const Image*>(plan.images) + index * plan.width + column, count, plan.packed_images);
    float e[4];
    device_normals(plan.key, static_cast<std::uint32_t>(plan.samples[row]), static_cast<std::uint32_t>(column / 4), e);
    const float alpha = plan.alpha[row], sigma = plan.sigma[row];
    Pack<float, 4> x, z;
    for (int k = 0; k < 4; ++k) {
      x[k] = pixel(image[k]);
      z[k] = fmaf(sigma, e[k], alpha * x[k]);
    }
    const std::int64_t at = row * plan.width + column;
    store_quad(plan.z + at, z, count, plan.packed);
    if (plan.clean != nullptr) store_quad(plan.clean + at, x, count, plan.packed);
    if (plan.noise != nullptr)
      store_quad(plan.noise + at, Pack<float, 4>{{e[0], e[1], e[2], e[3]}}, count, plan.packed);
    if (plan.target == nullptr) return;
    const float c_x = plan.target_clean[row], c_e = plan.target_noise[row];
    Pack<float, 4> target;
    for (int k = 0; k < 4; ++k) target[k] = fmaf(c_e, e[k], c_x * x[k]);
    store_quad(plan.target + at, target, count, plan.packed);
  });
}

template <class T>
void noise_images_as(Stream& stream, const NoiseImages& arguments) {
  const bool bytes = arguments.images.dtype == DType::uint8, target = static_cast<bool>(arguments.target);
  NoisingPlan<T> plan{.images = arguments.images.data,
                      .indices = arguments.indices.as<std::int64_t>(),
                      .samples = arguments.samples.as<std::int64_t>(),
                      .alpha = arguments.alpha.as<float>(),
                      .sigma = arguments.sigma.as<float>(),
                      .target_clean = target ? arguments.target_clean.as<float>() : nullptr,
                      .target_noise = target ? arguments.target_noise.as<float>() : nullptr,
                      .z = arguments.z.as<T>(),
                      .target = optional_values<T>(arguments.target),
                      .clean = optional_values<T>(arguments.clean),
                      .noise = optional_values<T>(arguments.noise),
                      .images_count = arguments.images.shape[0],
                      .rows = arguments.z.shape[0],
                      .width = arguments.images.shape[1],
                      .key = arguments.key};
  if (plan.rows * plan.width == 0) return;
  const bool whole = plan.width % 4 == 0;
  const auto address = reinterpret_cast<std::uintptr_t>(plan.images);
  plan.packed_images = whole && address % (bytes ? 4 : 16) == 0;
  plan.packed = whole && aligned_16(plan.z, plan.target, plan.clean, plan.noise);
  if (!bytes) (void)arguments.images.as<float>();
  launch(stream, {"noise_images", arguments.z.shape, quad_grid(stream, plan.rows, plan.width), block_threads},
         bytes ? &noise_images_kernel<T, std::uint8_t> : &noise_images_kernel<T, float>, plan);
}

void noise_images_cuda(Stream& stream, const NoiseImages& arguments) {
  with_value_type(arguments.z, [&]<class T>(T) { noise_images_as<T>(stream, arguments); });
}

const bool registered = noise_images.implement(DeviceKind::cuda, &noise_images_cuda);

}  // namespace
}  // namespace tweedie
