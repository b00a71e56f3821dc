#include "kernels/conv2d/conv2d_steps_cuda.h"

#include <cuda_bf16.h>

#include "kernels/reduction/reduction_cuda.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

namespace tweedie::conv2d_cuda {
namespace {

/// Calls run(T{}) with the type of the operands.
template <class Run>
void with_type(const Array& array, Run run) {
  if (array.dtype == DType::bfloat16)
    run(__nv_bfloat16{});
  else
    run(float{});
}

template <class T>
T* data_of(const Array& array) {
  return static_cast<T*>(array.data);
}

/// A chunk of `width` lies within one pixel, whose channels have one bias each: width divides their number.
template <class T, int width>
__global__ void seed_output_kernel(const T* bias, const T* residual, T* y, std::int64_t channels, std::int64_t count) {
  for (std::int64_t i = grid_thread() * width; i < count; i += grid_threads() * width) {
    Pack<T, width> sum;
    if (bias == nullptr) {
      sum = load<width>(residual + i);
    } else {
      sum = load<width>(bias + i % channels);
      if (residual != nullptr) {
        const auto added = load<width>(residual + i);
        for (int k = 0; k < width; ++k) sum[k] = T(static_cast<float>(sum[k]) + static_cast<float>(added[k]));
      }
    }
    store(y + i, sum);
  }
}

/// An image inside a larger one.
struct Frame {
  std::int64_t height, width, row, channels;  // of the outer image; elements of a row of the inner one
  std::int64_t inner_height, top, left;       // left in elements
  /// Where element i of the inner image stands in the outer one.
  __device__ std::int64_t outer(std::int64_t i) const {
    const std::int64_t line = i / row;
    return ((line / inner_height * height + line % inner_height + top) * width) * channels + left + i % row;
  }
};

Frame frame_of(const Array& inner, const Array& outer, const Conv2dGeometry& geometry) {
  const std::int64_t channels = inner.shape[3];
  return {outer.shape[1], outer.shape[2],   inner.shape[2] * channels,   channels,
          inner.shape[1], geometry.pad_top, geometry.pad_left * channels};
}

template <class T>
__global__ void pad_image_kernel(const T* x, T* padded, Frame frame, std::int64_t count) {
  for_each_pack<1>(count, [=](auto, std::int64_t i) { padded[frame.outer(i)] = x[i]; });
}
template <class T>
__global__ void crop_image_kernel(const T* padded, T* x, Frame frame, std::int64_t count) {
  for_each_pack<1>(count, [=](auto, std::int64_t i) { x[i] = padded[frame.outer(i)]; });
}

}  // namespace

void seed_output(Stream& stream, const Array& bias, const Array& residual, const Array& y) {
  with_type(y, [&]<class T>(T) {
    constexpr int width = 16 / sizeof(T);
    const std::int64_t channels = y.shape[3], count = y.count();
    const bool vector = aligned_16(bias.data, residual.data, y.data) && channels % width == 0;
    launch(stream,
           {"conv2d_forward", y.shape, blocks_for(stream, vector ? count / width : count),
            static_cast<unsigned>(block_threads)},
           vector ? &seed_output_kernel<T, width> : &seed_output_kernel<T, 1>, data_of<T>(bias), data_of<T>(residual),
           data_of<T>(y), channels, count);
  });
}

void pad_image(Stream& stream, const Array& x, const Array& padded, const Conv2dGeometry& geometry) {
  stream.zero(padded.data, static_cast<std::size_t>(padded.bytes()));
  with_type(x, [&]<class T>(T) {
    launch(stream, {"conv2d", x.shape, blocks_for(stream, x.count()), block_threads}, &pad_image_kernel<T>,
           data_of<T>(x), data_of<T>(padded), frame_of(x, padded, geometry), x.count());
  });
}

void crop_image(Stream& stream, const Array& padded, const Array& x, const Conv2dGeometry& geometry) {
  with_type(x, [&]<class T>(T) {
    launch(stream, {"conv2d", x.shape, blocks_for(stream, x.count()), block_threads}, &crop_image_kernel<T>,
           data_of<T>(padded), data_of<T>(x), frame_of(x, padded, geometry), x.count());
  });
}

void bias_gradient(Stream& stream, const Array& grad_y, const Array& grad_bias, Write write) {
  const std::int64_t channels = grad_y.shape[3];
  reduce_on_cuda(stream, {.kind = ReduceKind::sum,
                          .x = {grad_y.data, {1, grad_y.shape.count_between(0, 3), channels}, grad_y.dtype},
                          .y = {grad_bias.data, {1, channels}, grad_bias.dtype},
                          .write = write});
}

}  // namespace tweedie::conv2d_cuda
