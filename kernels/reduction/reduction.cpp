#include "kernels/reduction/reduction.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const Reduce& arguments) {
  require_rank("reduce", "x", arguments.x, 3);
  const Shape& shape = arguments.x.shape;
  require_shape("reduce", "y", arguments.y, {shape[0], shape[2]});
  if (arguments.y.dtype != arguments.x.dtype) require_wide_dtype("reduce", "y", arguments.y, arguments.x);
  require(arguments.kind == ReduceKind::sum || shape[1] > 0, "reduce: the mean of no elements, x has shape {}", shape);
}
double flops(const Reduce& arguments) {
  return static_cast<double>(arguments.x.count());
}
double bytes_moved(const Reduce& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.x) + passes * bytes_of(arguments.y);
}

}  // namespace tweedie
