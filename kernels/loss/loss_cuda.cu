#include "kernels/loss/loss.h"
#include "kernels/runtime/quads.cuh"

namespace tweedie {
namespace {

/// A block sums one sample: differences in float32, squares and sums in double.
template <class T>
__global__ void __launch_bounds__(block_threads)
    squared_error_kernel(const T* prediction, const T* target, const float* weight, float* loss, std::int64_t rows,
                         std::int64_t width, bool packed) {
  __shared__ double sums[32];
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    double sum = 0.0;
    for (std::int64_t column = 4 * threadIdx.x; column < width; column += 4 * block_threads) {
      const int count = static_cast<int>(width - column < 4 ? width - column : 4);
      const std::int64_t at = row * width + column;
      const auto a = load_quad(prediction + at, count, packed), b = load_quad(target + at, count, packed);
      for (int k = 0; k < 4; ++k) {
        const double difference = a[k] - b[k];
        sum = fma(difference, difference, sum);
      }
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0)
      loss[row] = static_cast<float>((weight != nullptr ? weight[row] : 1.0) * sum / static_cast<double>(width));
  }
}

template <class T>
__global__ void squared_error_backward_kernel(const T* prediction, const T* target, const float* weight,
                                              const float* grad_loss, T* grad_prediction, std::int64_t rows,
                                              std::int64_t width, bool accumulate, bool packed) {
  for_each_quad(rows, width, [=](std::int64_t row, std::int64_t column, int count) {
    const auto scale =
        static_cast<float>(2.0 * grad_loss[row] * (weight != nullptr ? weight[row] : 1.0) / static_cast<double>(width));
    const std::int64_t at = row * width + column;
    const auto a = load_quad(prediction + at, count, packed), b = load_quad(target + at, count, packed);
    auto result = accumulate ? load_quad(grad_prediction + at, count, packed) : Pack<float, 4>{};
    for (int k = 0; k < 4; ++k) result[k] = fmaf(a[k] - b[k], scale, result[k]);
    store_quad(grad_prediction + at, result, count, packed);
  });
}

void forward_cuda(Stream& stream, const SquaredErrorForward& arguments) {
  const std::int64_t rows = arguments.prediction.shape[0], width = arguments.prediction.shape[1];
  if (rows == 0) return;
  with_value_type(arguments.prediction, [&]<class T>(T) {
    const T* prediction = arguments.prediction.as<T>();
    const T* target = arguments.target.as<T>();
    launch(
        stream,
        {"squared_error_forward", arguments.prediction.shape, blocks_for(stream, rows * block_threads), block_threads},
        &squared_error_kernel<T>, prediction, target, optional_values<float>(arguments.weight),
        arguments.loss.as<float>(), rows, width, width % 4 == 0 && aligned_16(prediction, target));
  });
}

void backward_cuda(Stream& stream, const SquaredErrorBackward& arguments) {
  const std::int64_t rows = arguments.prediction.shape[0], width = arguments.prediction.shape[1];
  if (rows * width == 0) return;
  with_value_type(arguments.prediction, [&]<class T>(T) {
    const T* prediction = arguments.prediction.as<T>();
    const T* target = arguments.target.as<T>();
    T* grad_prediction = arguments.grad_prediction.as<T>();
    launch(stream,
           {"squared_error_backward", arguments.prediction.shape, quad_grid(stream, rows, width), block_threads},
           &squared_error_backward_kernel<T>, prediction, target, optional_values<float>(arguments.weight),
           arguments.grad_loss.as<float>(), grad_prediction, rows, width, arguments.write == Write::accumulate,
           width % 4 == 0 && aligned_16(prediction, target, grad_prediction));
  });
}

const bool registered = squared_error_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        squared_error_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie
