#include "kernels/conv2d/conv2d_steps_cuda.h"

#include <cuda_bf16.h>

#include <algorithm>

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

constexpr int sum_columns = 32, sum_rows = 8;  // of a block's threads
constexpr std::int64_t rows_a_slice = 1024;    // at least; a constant, so that sums do not depend on the device
constexpr std::int64_t most_slices = 256;

/// partial[slice, o]: the sums over the rows of one slice. Blocks are (tile of columns, slice).
template <class T>
__global__ void sum_slice_kernel(const T* grad_y, float* partial, std::int64_t rows, int columns,
                                 std::int64_t rows_per_slice) {
  __shared__ float sums[sum_rows][sum_columns + 1];
  const int lane = static_cast<int>(threadIdx.x) % sum_columns, line = static_cast<int>(threadIdx.x) / sum_columns;
  const int column = static_cast<int>(blockIdx.x) * sum_columns + lane;
  const std::int64_t first = blockIdx.y * rows_per_slice, last = min(rows, first + rows_per_slice);
  float sum = 0.0f;
  if (column < columns)
    for (std::int64_t row = first + line; row < last; row += sum_rows)
      sum += static_cast<float>(grad_y[row * columns + column]);
  sums[line][lane] = sum;
  __syncthreads();
  if (line > 0 || column >= columns) return;
  for (int other = 1; other < sum_rows; ++other) sum += sums[other][lane];
  partial[static_cast<std::int64_t>(blockIdx.y) * columns + column] = sum;
}

template <class T>
__global__ void sum_partials_kernel(const float* partial, T* grad_bias, int slices, int columns, bool accumulate) {
  for_each_pack<1>(columns, [=](auto, std::int64_t column) {
    float sum = partial[column];
    for (int slice = 1; slice < slices; ++slice) sum += partial[static_cast<std::int64_t>(slice) * columns + column];
    if (accumulate) sum += static_cast<float>(grad_bias[column]);
    grad_bias[column] = T(sum);
  });
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
  with_type(grad_y, [&]<class T>(T) {
    const std::int64_t rows = grad_y.shape.count_between(0, 3);
    const auto columns = static_cast<int>(grad_y.shape[3]);
    const std::int64_t slices = std::clamp<std::int64_t>(rows / rows_a_slice, 1, most_slices);
    const std::int64_t rows_per_slice = (rows + slices - 1) / slices;
    const Scratch partial(stream, static_cast<std::size_t>(slices * columns) * sizeof(float));
    launch(stream,
           {"conv2d_filter_gradient", grad_y.shape,
            dim3(static_cast<unsigned>((columns + sum_columns - 1) / sum_columns), static_cast<unsigned>(slices)),
            sum_columns * sum_rows},
           &sum_slice_kernel<T>, data_of<T>(grad_y), partial.as<float>(), rows, columns, rows_per_slice);
    launch(stream, {"conv2d_filter_gradient", grad_bias.shape, blocks_for(stream, columns), block_threads},
           &sum_partials_kernel<T>, partial.as<float>(), data_of<T>(grad_bias), static_cast<int>(slices), columns,
           write == Write::accumulate);
  });
}

}  // namespace tweedie::conv2d_cuda
