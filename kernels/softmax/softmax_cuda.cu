#include "kernels/runtime/rows.cuh"
#include "kernels/softmax/softmax.h"

namespace tweedie {
namespace {

/// y may be x: a team has read its whole row before it writes, or reads each value again just before it is written.
template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads)
    softmax_kernel(const T* x, T* y, std::int64_t rows, std::int64_t columns) {
  __shared__ float shared[32];
  for (std::int64_t row = team_index<team>(); row < rows; row += teams<team>()) {
    const RowPart<T, team, width> part({x + row * columns}, columns);
    float top = -INFINITY;
    part.for_each([&](const auto& packs, std::int64_t) {
      for (int k = 0; k < width; ++k) top = fmaxf(top, packs.of[0][k]);
    });
    top = team_reduce<team>(top, -INFINITY, shared, [](float a, float b) { return fmaxf(a, b); });
    float sum = 0.0f;
    part.for_each([&](const auto& packs, std::int64_t) {
      for (int k = 0; k < width; ++k) sum += expf(packs.of[0][k] - top);
    });
    const float scale = 1.0f / team_sum<team>(sum, shared);
    part.for_each([&](const auto& packs, std::int64_t column) {
      auto pack = packs.of[0];
      for (int k = 0; k < width; ++k) pack[k] = expf(pack[k] - top) * scale;
      store_floats(y + row * columns + column, pack);
    });
  }
}

template <class T, int team, int width>
__global__ void __launch_bounds__(block_threads)
    softmax_backward_kernel(const T* y, const T* grad_y, T* grad_x, std::int64_t rows, std::int64_t columns,
                            bool accumulate) {
  __shared__ float shared[32];
  for (std::int64_t row = team_index<team>(); row < rows; row += teams<team>()) {
    const std::int64_t at = row * columns;
    const RowPart<T, team, width, 2> part({y + at, grad_y + at}, columns);
    float dot = 0.0f;
    part.for_each([&](const auto& packs, std::int64_t) {
      for (int k = 0; k < width; ++k) dot = fmaf(packs.of[0][k], packs.of[1][k], dot);
    });
    dot = team_sum<team>(dot, shared);
    part.for_each([&](const auto& packs, std::int64_t column) {
      T* to = grad_x + at + column;
      auto result = accumulate ? load_floats<width>(to) : Pack<float, width>{};
      for (int k = 0; k < width; ++k) result[k] = fmaf(packs.of[0][k], packs.of[1][k] - dot, result[k]);
      store_floats(to, result);
    });
  }
}

void forward_cuda(Stream& stream, const SoftmaxForward& arguments) {
  const std::int64_t rows = arguments.x.shape[0], columns = arguments.x.shape[1];
  if (rows * columns == 0) return;
  with_value_type(arguments.x, [&]<class T>(T) {
    constexpr int width = pack_width<T>;
    const T* x = arguments.x.as<T>();
    T* y = arguments.y.as<T>();
    const int row_width = columns % width == 0 ? width_of<T>(x, y) : 1;
    const auto kernel =
        choose_row_kernel(columns, row_width, &softmax_kernel<T, short_team, width>, &softmax_kernel<T, short_team, 1>,
                          &softmax_kernel<T, long_team, width>, &softmax_kernel<T, long_team, 1>);
    launch(stream,
           {"softmax_forward", arguments.x.shape, blocks_for_rows(stream, rows, columns, row_width), block_threads},
           kernel, x, y, rows, columns);
  });
}

void backward_cuda(Stream& stream, const SoftmaxBackward& arguments) {
  const std::int64_t rows = arguments.y.shape[0], columns = arguments.y.shape[1];
  if (rows * columns == 0) return;
  with_value_type(arguments.y, [&]<class T>(T) {
    constexpr int width = pack_width<T>;
    const T* y = arguments.y.as<T>();
    const T* grad_y = arguments.grad_y.as<T>();
    T* grad_x = arguments.grad_x.as<T>();
    const int row_width = columns % width == 0 ? width_of<T>(y, grad_y, grad_x) : 1;
    const auto kernel = choose_row_kernel(
        columns, row_width, &softmax_backward_kernel<T, short_team, width>, &softmax_backward_kernel<T, short_team, 1>,
        &softmax_backward_kernel<T, long_team, width>, &softmax_backward_kernel<T, long_team, 1>);
    launch(stream,
           {"softmax_backward", arguments.y.shape, blocks_for_rows(stream, rows, columns, row_width), block_threads},
           kernel, y, grad_y, grad_x, rows, columns, arguments.write == Write::accumulate);
  });
}

const bool registered = softmax_forward.implement(DeviceKind::cuda, &forward_cuda) &&
                        softmax_backward.implement(DeviceKind::cuda, &backward_cuda);

}  // namespace
}  // namespace tweedie
