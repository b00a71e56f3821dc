#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

enum class ReduceKind : std::uint8_t { sum, mean };

/// y[o, i] (write) sum or mean over r of x[o, r, i]: x (outer, reduced, inner), y (outer, inner). Accumulated in
/// float32 lanes with pairwise or blocked summation, in an order that depends on shapes and thread count alone.
/// y has the dtype of x, or is float32 where x is bfloat16. bytes: x + y; flops: one an element of x. The backward is a
/// broadcast (Binary).
struct Reduce {
  ReduceKind kind = ReduceKind::sum;
  Array x, y;
  Write write = Write::overwrite;
};
void validate(const Reduce& arguments);
double flops(const Reduce& arguments);
double bytes_moved(const Reduce& arguments);
extern Operation<Reduce> reduce;

}  // namespace tweedie
