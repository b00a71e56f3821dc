#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"
#include "kernels/runtime/philox.cuh"

namespace tweedie {
namespace {

/// One block of Philox, four normals, a thread.
__global__ void fill_normal_kernel(RandomKey key, const std::int64_t* samples, std::int64_t first_sample, float* out,
                                   std::int64_t rows, std::int64_t width, bool packed) {
  const std::int64_t blocks = (width + 3) / 4;
  for (std::int64_t i = grid_thread(); i < rows * blocks; i += grid_threads()) {
    const std::int64_t row = i / blocks, block = i % blocks;
    const std::int64_t sample = samples != nullptr ? samples[row] : first_sample + row;
    float normals[4];
    device_normals(key, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(block), normals);
    float* target = out + row * width + 4 * block;
    if (packed) {
      store(target, Pack<float, 4>{{normals[0], normals[1], normals[2], normals[3]}});
    } else {
      for (int k = 0; k < 4; ++k)
        if (4 * block + k < width) target[k] = normals[k];
    }
  }
}

void fill_normal_cuda(Stream& stream, const FillNormal& arguments) {
  float* out = arguments.out.as<float>();
  const std::int64_t rows = arguments.out.shape[0], width = arguments.out.shape[1];
  if (rows * width == 0) return;
  launch(stream, {"fill_normal", arguments.out.shape, blocks_for(stream, rows * ((width + 3) / 4)), block_threads},
         &fill_normal_kernel, arguments.key, arguments.samples ? arguments.samples.as<std::int64_t>() : nullptr,
         arguments.first_sample, out, rows, width, width % 4 == 0 && aligned_16(out));
}

const bool registered = fill_normal.implement(DeviceKind::cuda, &fill_normal_cuda);

}  // namespace
}  // namespace tweedie
