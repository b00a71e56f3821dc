#include <algorithm>
#include <cmath>

#include "kernels/dropout/dropout.h"
#include "kernels/runtime/philox.cuh"
#include "kernels/runtime/quads.cuh"

namespace tweedie {
namespace {

/// Keeps the elements whose word is at least `threshold`; one block of Philox, four elements, a thread.
template <class T>
__global__ void dropout_kernel(RandomKey key, const std::int64_t* samples, const T* x, T* y, std::int64_t rows,
                               std::int64_t width, std::uint64_t threshold, float scale, bool accumulate, bool packed) {
  for_each_quad(rows, width, [=](std::int64_t row, std::int64_t column, int count) {
    const PhiloxBlock block =
        device_philox(key, static_cast<std::uint32_t>(samples[row]), static_cast<std::uint32_t>(column / 4));
    const std::int64_t at = row * width + column;
    const auto values = load_quad(x + at, count, packed);
    auto result = accumulate ? load_quad(y + at, count, packed) : Pack<float, 4>{};
    for (int k = 0; k < 4; ++k)
      if (block.words[k] >= threshold) result[k] += values[k] * scale;
    store_quad(y + at, result, count, packed);
  });
}

void dropout_cuda(Stream& stream, const Dropout& arguments) {
  const std::int64_t rows = arguments.x.shape[0], width = arguments.x.shape[1];
  if (rows * width == 0) return;
  // (word + 0.5) 2^-32 >= probability, as a bound on the word.
  const auto threshold = static_cast<std::uint64_t>(std::max(0.0, std::ceil(arguments.probability * 0x1p32 - 0.5)));
  with_value_type(arguments.x, [&]<class T>(T) {
    const T* x = arguments.x.as<T>();
    T* y = arguments.y.as<T>();
    launch(stream, {"dropout", arguments.x.shape, quad_grid(stream, rows, width), block_threads}, &dropout_kernel<T>,
           arguments.key, arguments.samples.as<std::int64_t>(), x, y, rows, width, threshold,
           static_cast<float>(1.0 / (1.0 - arguments.probability)), arguments.write == Write::accumulate,
           width % 4 == 0 && aligned_16(x, y));
  });
}

const bool registered = apply_dropout.implement(DeviceKind::cuda, &dropout_cuda);

}  // namespace
}  // namespace tweedie
