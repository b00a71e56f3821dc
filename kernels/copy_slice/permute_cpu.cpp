#include <algorithm>
#include <cstring>

#include "kernels/copy_slice/permute_plan.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {

constinit Operation<Permute> permute_axes{"permute"};

namespace {

/// A plane of y: its last axis and the axis that is x's last, in tiles that stay in the nearest cache on both sides.
template <class T>
void transpose_plane(const T* x, T* y, std::int64_t rows, std::int64_t x_row, std::int64_t y_row, std::int64_t columns,
                     std::int64_t x_column) {
  constexpr std::int64_t tile = 16;
  for (std::int64_t r0 = 0; r0 < rows; r0 += tile)
    for (std::int64_t c0 = 0; c0 < columns; c0 += tile) {
      const std::int64_t r1 = std::min(rows, r0 + tile), c1 = std::min(columns, c0 + tile);
      for (std::int64_t r = r0; r < r1; ++r)
        for (std::int64_t c = c0; c < c1; ++c) y[r * y_row + c] = x[r * x_row + c * x_column];
    }
}

template <class T>
void permute_all(const Permute& arguments) {
  const T* x = static_cast<const T*>(arguments.x.data);
  T* y = static_cast<T*>(arguments.y.data);
  const PermutePlan plan = plan_permute(arguments);
  const int last_axis = plan.rank - 1, row_axis = plan.row_axis;
  const bool plane = row_axis != last_axis;
  const std::int64_t columns = plan.extents[last_axis], rows = plane ? plan.extents[row_axis] : 1;
  const std::int64_t jobs = arguments.x.count() / std::max<std::int64_t>(1, rows * columns);
  parallel_for(jobs, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, rows * columns)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t job = first; job < last; ++job) {
                   std::int64_t rest = job, from = 0, to = 0;
                   for (int axis = last_axis - 1; axis >= 0; --axis) {
                     if (plane && axis == row_axis) continue;
                     const std::int64_t index = rest % plan.extents[axis];
                     rest /= plan.extents[axis];
                     from += index * plan.from_strides[axis];
                     to += index * plan.to_strides[axis];
                   }
                   if (!plane && plan.from_strides[last_axis] == 1)
                     std::memcpy(y + to, x + from, static_cast<std::size_t>(columns) * sizeof(T));
                   else
                     transpose_plane(x + from, y + to, rows, plan.from_strides[row_axis], plan.to_strides[row_axis],
                                     columns, plan.from_strides[last_axis]);
                 }
               });
}

void permute_cpu(Stream&, const Permute& arguments) {
  if (arguments.x.count() == 0) return;
  switch (size_of(arguments.x.dtype)) {
    case 1:
      return permute_all<std::uint8_t>(arguments);
    case 2:
      return permute_all<std::uint16_t>(arguments);
    case 4:
      return permute_all<std::uint32_t>(arguments);
    default:
      return permute_all<std::uint64_t>(arguments);
  }
}

const bool registered = permute_axes.implement(DeviceKind::cpu, &permute_cpu);

}  // namespace
}  // namespace tweedie
