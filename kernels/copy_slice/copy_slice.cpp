#include "kernels/copy_slice/copy_slice.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const CopySlice& arguments) {
  require_rank("copy_slice", "from", arguments.from, 3);
  require_rank("copy_slice", "to", arguments.to, 3);
  const Shape &from = arguments.from.shape, &to = arguments.to.shape;
  require(from[0] == to[0] && from[2] == to[2],
          "copy_slice: from has shape {} and to {}, expected equal first and last extents", from, to);
  require_same_dtype("copy_slice", "to", arguments.to, arguments.from);
  require(arguments.length >= 0, "copy_slice: length {} is negative", arguments.length);
  require(arguments.from_start >= 0 && arguments.from_start + arguments.length <= from[1],
          "copy_slice: block [{}, {}) does not fit axis 1 of from, shape {}", arguments.from_start,
          arguments.from_start + arguments.length, from);
  require(arguments.to_start >= 0 && arguments.to_start + arguments.length <= to[1],
          "copy_slice: block [{}, {}) does not fit axis 1 of to, shape {}", arguments.to_start,
          arguments.to_start + arguments.length, to);
  require(arguments.write == Write::overwrite || is_floating(arguments.to.dtype),
          "copy_slice: accumulating needs a floating dtype, got {}", name_of(arguments.to.dtype));
}
double flops(const CopySlice& arguments) {
  if (arguments.write == Write::overwrite) return 0.0;
  return static_cast<double>(arguments.from.shape[0] * arguments.length * arguments.from.shape[2]);
}
double bytes_moved(const CopySlice& arguments) {
  const double block = static_cast<double>(arguments.from.shape[0] * arguments.length * arguments.from.shape[2]) *
                       static_cast<double>(size_of(arguments.from.dtype));
  return (arguments.write == Write::accumulate ? 3.0 : 2.0) * block;
}

void validate(const Permute& arguments) {
  require(static_cast<bool>(arguments.x), "permute: operand x is missing");
  const int rank = arguments.x.shape.rank();
  require_rank("permute", "y", arguments.y, rank);
  require_same_dtype("permute", "y", arguments.y, arguments.x);
  bool seen[Shape::max_rank] = {};
  for (int axis = 0; axis < rank; ++axis) {
    const int from = arguments.axes[axis];
    require(from >= 0 && from < rank && !seen[from], "permute: axes are no permutation: axes[{}] is {}, rank {}", axis,
            from, rank);
    seen[from] = true;
    require(arguments.y.shape[axis] == arguments.x.shape[from],
            "permute: y has shape {}, but axis {} comes from axis {} of x, shape {}", arguments.y.shape, axis, from,
            arguments.x.shape);
  }
}
double flops(const Permute&) {
  return 0.0;
}
double bytes_moved(const Permute& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

}  // namespace tweedie
