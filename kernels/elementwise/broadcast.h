#pragma once

#include "kernels/runtime/shape.h"

namespace tweedie {

/// How one broadcast operation walks its operands: axes of `extents` (outermost first) with the operands' strides in
/// elements, 0 where an operand is repeated. Neighbouring axes that both operands walk alike are merged, so that the
/// last axis is as long as it can be.
struct BroadcastPlan {
  int rank = 0;
  std::int64_t extents[Shape::max_rank] = {};
  std::int64_t strides_a[Shape::max_rank] = {};
  std::int64_t strides_b[Shape::max_rank] = {};
};

inline BroadcastPlan plan_broadcast(const Shape& out, const Shape& a, const Shape& b) {
  BroadcastPlan reversed;  // innermost first while it is built
  std::int64_t size_a = 1, size_b = 1;
  for (int from_end = 1; from_end <= out.rank(); ++from_end) {
    const std::int64_t extent = out[-from_end];
    const std::int64_t extent_a = from_end <= a.rank() ? a[-from_end] : 1;
    const std::int64_t extent_b = from_end <= b.rank() ? b[-from_end] : 1;
    const std::int64_t stride_a = extent_a == 1 ? 0 : size_a, stride_b = extent_b == 1 ? 0 : size_b;
    size_a *= extent_a;
    size_b *= extent_b;
    if (extent == 1) continue;
    const int last = reversed.rank - 1;
    if (last >= 0 && stride_a == reversed.strides_a[last] * reversed.extents[last] &&
        stride_b == reversed.strides_b[last] * reversed.extents[last]) {
      reversed.extents[last] *= extent;
      continue;
    }
    reversed.extents[reversed.rank] = extent;
    reversed.strides_a[reversed.rank] = stride_a;
    reversed.strides_b[reversed.rank] = stride_b;
    ++reversed.rank;
  }
  if (reversed.rank == 0) return {.rank = 1, .extents = {1}};
  BroadcastPlan plan;
  plan.rank = reversed.rank;
  for (int axis = 0; axis < plan.rank; ++axis) {
    plan.extents[axis] = reversed.extents[plan.rank - 1 - axis];
    plan.strides_a[axis] = reversed.strides_a[plan.rank - 1 - axis];
    plan.strides_b[axis] = reversed.strides_b[plan.rank - 1 - axis];
  }
  return plan;
}

}  // namespace tweedie
