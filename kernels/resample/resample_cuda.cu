#include "kernels/resample/resample.h"
#include "kernels/runtime/values.cuh"

// All four operations are one of two movements between a coarse and a fine array: coarse = scale * (sum of each block
// of fine), or fine = scale * coarse spread over each block. A thread takes `width` channels of one coarse pixel.

namespace tweedie {
namespace {

struct ResamplePlan {
  std::int64_t coarse_pixels, coarse_height, coarse_width;  // pixels of all images
  std::int64_t fine_height, fine_width, channels;
  int factor;
  float scale;
  bool accumulate;
};

/// Calls body(Width, offset in coarse, offset of the block's first pixel in fine) for all of this thread's packs.
template <int width, class Body>
__device__ void for_each_block(const ResamplePlan& plan, Body body) {
  __builtin_assume(plan.factor > 0);
  const std::int64_t packs = plan.channels / width;  // width divides the channels
  for (std::int64_t i = grid_thread(); i < plan.coarse_pixels * packs; i += grid_threads()) {
    const std::int64_t pixel = i / packs, channel = i % packs * width;
    const std::int64_t column = pixel % plan.coarse_width, line = pixel / plan.coarse_width;
    const std::int64_t row = line % plan.coarse_height, image = line / plan.coarse_height;
    const std::int64_t fine_pixel =
        (image * plan.fine_height + row * plan.factor) * plan.fine_width + column * plan.factor;
    body(pixel * plan.channels + channel, fine_pixel * plan.channels + channel);
  }
}

template <class T, int width>
__global__ void gather_kernel(ResamplePlan plan, const T* fine, T* coarse) {
  for_each_block<width>(plan, [&](std::int64_t to, std::int64_t from) {
    Pack<float, width> sum = {};
    for (int i = 0; i < plan.factor; ++i)
      for (int j = 0; j < plan.factor; ++j) {
        const auto values = load_floats<width>(fine + from + (i * plan.fine_width + j) * plan.channels);
        for (int k = 0; k < width; ++k) sum[k] += values[k];
      }
    const auto before = plan.accumulate ? load_floats<width>(coarse + to) : Pack<float, width>{};
    for (int k = 0; k < width; ++k) sum[k] = sum[k] * plan.scale + before[k];
    store_floats(coarse + to, sum);
  });
}

template <class T, int width>
__global__ void spread_kernel(ResamplePlan plan, const T* coarse, T* fine) {
  for_each_block<width>(plan, [&](std::int64_t from, std::int64_t to) {
    auto value = load_floats<width>(coarse + from);
    for (int k = 0; k < width; ++k) value[k] *= plan.scale;
    for (int i = 0; i < plan.factor; ++i)
      for (int j = 0; j < plan.factor; ++j) {
        T* target = fine + to + (i * plan.fine_width + j) * plan.channels;
        auto result = value;
        if (plan.accumulate) {
          const auto before = load_floats<width>(target);
          for (int k = 0; k < width; ++k) result[k] += before[k];
        }
        store_floats(target, result);
      }
  });
}

ResamplePlan plan_resample(const Shape& coarse, const Shape& fine, int factor, float scale, Write write) {
  return {.coarse_pixels = coarse[0] * coarse[1] * coarse[2],
          .coarse_height = coarse[1],
          .coarse_width = coarse[2],
          .fine_height = fine[1],
          .fine_width = fine[2],
          .channels = coarse[3],
          .factor = factor,
          .scale = scale,
          .accumulate = write == Write::accumulate};
}

/// `packed` moves pack_width<T> channels at once, `single` one.
template <class T>
void move(Stream& stream, std::string_view operation, const ResamplePlan& plan, const Array& from, const Array& to,
          void (*packed)(ResamplePlan, const T*, T*), void (*single)(ResamplePlan, const T*, T*)) {
  if (plan.coarse_pixels * plan.channels == 0) return;
  const T* source = from.as<T>();
  T* target = to.as<T>();
  const bool aligned = plan.channels % pack_width<T> == 0 && aligned_16(source, target);
  const std::int64_t packs = plan.coarse_pixels * plan.channels / (aligned ? pack_width<T> : 1);
  launch(stream, {operation, from.shape, blocks_for(stream, packs), block_threads}, aligned ? packed : single, plan,
         source, target);
}

void gather(Stream& stream, std::string_view operation, const Array& fine, const Array& coarse, int factor, float scale,
            Write write) {
  with_value_type(fine, [&]<class T>(T) {
    move<T>(stream, operation, plan_resample(coarse.shape, fine.shape, factor, scale, write), fine, coarse,
            &gather_kernel<T, pack_width<T>>, &gather_kernel<T, 1>);
  });
}
void spread(Stream& stream, std::string_view operation, const Array& coarse, const Array& fine, int factor, float scale,
            Write write) {
  with_value_type(coarse, [&]<class T>(T) {
    move<T>(stream, operation, plan_resample(coarse.shape, fine.shape, factor, scale, write), coarse, fine,
            &spread_kernel<T, pack_width<T>>, &spread_kernel<T, 1>);
  });
}

float mean_scale(int factor) {
  return 1.0f / static_cast<float>(factor * factor);
}

void upsample_forward_cuda(Stream& stream, const UpsampleNearestForward& arguments) {
  spread(stream, "upsample_nearest_forward", arguments.x, arguments.y, arguments.factor, 1.0f, Write::overwrite);
}
void upsample_backward_cuda(Stream& stream, const UpsampleNearestBackward& arguments) {
  gather(stream, "upsample_nearest_backward", arguments.grad_y, arguments.grad_x, arguments.factor, 1.0f,
         arguments.write);
}
void pool_forward_cuda(Stream& stream, const AveragePoolForward& arguments) {
  gather(stream, "average_pool_forward", arguments.x, arguments.y, arguments.factor, mean_scale(arguments.factor),
         Write::overwrite);
}
void pool_backward_cuda(Stream& stream, const AveragePoolBackward& arguments) {
  const Shape& fine = arguments.grad_x.shape;
  const bool partial = fine[1] % arguments.factor != 0 || fine[2] % arguments.factor != 0;
  if (partial && arguments.write == Write::overwrite)  // what no block reaches is 0
    stream.zero(arguments.grad_x.data, static_cast<std::size_t>(arguments.grad_x.bytes()));
  spread(stream, "average_pool_backward", arguments.grad_y, arguments.grad_x, arguments.factor,
         mean_scale(arguments.factor), arguments.write);
}

const bool registered = upsample_nearest_forward.implement(DeviceKind::cuda, &upsample_forward_cuda) &&
                        upsample_nearest_backward.implement(DeviceKind::cuda, &upsample_backward_cuda) &&
                        average_pool_forward.implement(DeviceKind::cuda, &pool_forward_cuda) &&
                        average_pool_backward.implement(DeviceKind::cuda, &pool_backward_cuda);

}  // namespace
}  // namespace tweedie
