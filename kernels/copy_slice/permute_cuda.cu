#include "kernels/copy_slice/permute_plan.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/kernel.cuh"

namespace tweedie {
namespace {

constexpr int tile = 32, tile_rows = 8;  // a block of 32 x 8 threads moves a tile of 32 x 32

/// x's last axis stays last: rows are copied, one element a thread.
template <class T>
__global__ void copy_rows_kernel(PermutePlan plan, const T* x, T* y, std::int64_t count) {
  for (std::int64_t i = grid_thread(); i < count; i += grid_threads()) {
    std::int64_t rest = i, from = 0;
    for (int axis = plan.rank - 1; axis > 0; --axis) {
      from += rest % plan.extents[axis] * plan.from_strides[axis];
      rest /= plan.extents[axis];
    }
    y[i] = x[from + rest * plan.from_strides[0]];
  }
}

/// Planes of the axis that is x's last (rows of y) and y's last (columns), a tile at a time through shared memory, so
/// that both sides are walked in their own order.
template <class T>
__global__ void __launch_bounds__(tile* tile_rows)
    transpose_kernel(PermutePlan plan, const T* x, T* y, std::int64_t planes) {
  __shared__ T values[tile][tile + 1];
  const int last = plan.rank - 1;
  const std::int64_t rows = plan.extents[plan.row_axis], columns = plan.extents[last];
  const std::int64_t row_tiles = (rows + tile - 1) / tile, column_tiles = (columns + tile - 1) / tile;
  const int lane = static_cast<int>(threadIdx.x), line = static_cast<int>(threadIdx.y);
  for (std::int64_t job = blockIdx.x; job < planes * row_tiles * column_tiles; job += gridDim.x) {
    const std::int64_t first_row = job % row_tiles * tile, first_column = job / row_tiles % column_tiles * tile;
    std::int64_t rest = job / (row_tiles * column_tiles), from = 0, to = 0;
    for (int axis = last - 1; axis >= 0; --axis) {
      if (axis == plan.row_axis) continue;
      const std::int64_t index = rest % plan.extents[axis];
      rest /= plan.extents[axis];
      from += index * plan.from_strides[axis];
      to += index * plan.to_strides[axis];
    }
    for (int k = line; k < tile; k += tile_rows)
      if (first_column + k < columns && first_row + lane < rows)
        values[k][lane] = x[from + (first_column + k) * plan.from_strides[last] + first_row + lane];
    __syncthreads();
    for (int k = line; k < tile; k += tile_rows)
      if (first_row + k < rows && first_column + lane < columns)
        y[to + (first_row + k) * plan.to_strides[plan.row_axis] + first_column + lane] = values[lane][k];
    __syncthreads();
  }
}

template <class T>
void permute_of(Stream& stream, const Permute& arguments) {
  const T* x = static_cast<const T*>(arguments.x.data);
  T* y = static_cast<T*>(arguments.y.data);
  const PermutePlan plan = plan_permute(arguments);
  const std::int64_t count = arguments.x.count();
  if (plan.row_axis == plan.rank - 1)
    return launch(stream, {"permute", arguments.x.shape, blocks_for(stream, count), block_threads},
                  &copy_rows_kernel<T>, plan, x, y, count);
  const std::int64_t rows = plan.extents[plan.row_axis], columns = plan.extents[plan.rank - 1];
  const std::int64_t tiles = ((rows + tile - 1) / tile) * ((columns + tile - 1) / tile),
                     planes = count / (rows * columns);
  launch(stream,
         {"permute", arguments.x.shape, blocks_for(stream, planes * tiles * block_threads), dim3(tile, tile_rows)},
         &transpose_kernel<T>, plan, x, y, planes);
}

void permute_cuda(Stream& stream, const Permute& arguments) {
  if (arguments.x.count() == 0) return;
  switch (size_of(arguments.x.dtype)) {
    case 1:
      return permute_of<std::uint8_t>(stream, arguments);
    case 2:
      return permute_of<std::uint16_t>(stream, arguments);
    case 4:
      return permute_of<std::uint32_t>(stream, arguments);
    default:
      return permute_of<std::uint64_t>(stream, arguments);
  }
}

const bool registered = permute_axes.implement(DeviceKind::cuda, &permute_cuda);

}  // namespace
}  // namespace tweedie
