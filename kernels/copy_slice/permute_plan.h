#pragma once

#include "kernels/copy_slice/copy_slice.h"

namespace tweedie {

/// The axes of y with the strides of both arrays, extents of 1 left out and neighbours that stay neighbours merged.
struct PermutePlan {
  int rank = 0;
  int row_axis = 0;  // the axis that is x's own last: transposed through tiles with y's last, unless it is that one
  std::int64_t extents[Shape::max_rank], from_strides[Shape::max_rank], to_strides[Shape::max_rank];
};

inline PermutePlan plan_permute(const Permute& arguments) {
  const Shape& x = arguments.x.shape;
  PermutePlan plan;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int from = arguments.axes[axis];
    const std::int64_t extent = x[from], stride = x.count_between(from + 1, x.rank());
    if (extent == 1) continue;
    if (plan.rank > 0 && plan.from_strides[plan.rank - 1] == stride * extent) {
      plan.extents[plan.rank - 1] *= extent;
      plan.from_strides[plan.rank - 1] = stride;
    } else {
      plan.extents[plan.rank] = extent;
      plan.from_strides[plan.rank++] = stride;
    }
  }
  if (plan.rank == 0) {
    plan.extents[0] = 1;
    plan.from_strides[plan.rank++] = 1;
  }
  std::int64_t stride = 1;
  for (int axis = plan.rank - 1; axis >= 0; --axis) {
    plan.to_strides[axis] = stride;
    stride *= plan.extents[axis];
  }
  plan.row_axis = plan.rank - 1;
  for (int axis = 0; axis < plan.rank; ++axis)
    if (plan.from_strides[axis] == 1) plan.row_axis = axis;
  return plan;
}

}  // namespace tweedie
