#include "kernels/resample/resample.h"

#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

/// `fine` is the array of more pixels; exact: its extents are whole multiples, else what fills no block is left out.
void validate_pair(std::string_view name, std::string_view coarse_name, const Array& coarse, std::string_view fine_name,
                   const Array& fine, int factor, bool exact) {
  require(factor >= 1, "{}: factor {} must be at least 1", name, factor);
  require_rank(name, coarse_name, coarse, 4);
  require_rank(name, fine_name, fine, 4);
  const Shape &c = coarse.shape, &f = fine.shape;
  const auto fits = [&](int axis) { return c[axis] == f[axis] / factor && (!exact || f[axis] % factor == 0); };
  require(c[0] == f[0] && c[3] == f[3] && fits(1) && fits(2),
          "{}: {} has shape {} and {} {}, which do not fit factor {}", name, coarse_name, c, fine_name, f, factor);
  require_same_dtype(name, fine_name, fine, coarse);
}

double bytes_written(const Array& out, Write write) {
  return (write == Write::accumulate ? 2.0 : 1.0) * bytes_of(out);
}

}  // namespace

void validate(const UpsampleNearestForward& arguments) {
  validate_pair("upsample_nearest_forward", "x", arguments.x, "y", arguments.y, arguments.factor, true);
}
double flops(const UpsampleNearestForward&) {
  return 0.0;
}
double bytes_moved(const UpsampleNearestForward& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

void validate(const UpsampleNearestBackward& arguments) {
  validate_pair("upsample_nearest_backward", "grad_x", arguments.grad_x, "grad_y", arguments.grad_y, arguments.factor,
                true);
}
double flops(const UpsampleNearestBackward& arguments) {
  return static_cast<double>(arguments.grad_y.count());
}
double bytes_moved(const UpsampleNearestBackward& arguments) {
  return bytes_of(arguments.grad_y) + bytes_written(arguments.grad_x, arguments.write);
}

void validate(const AveragePoolForward& arguments) {
  validate_pair("average_pool_forward", "y", arguments.y, "x", arguments.x, arguments.factor, false);
}
double flops(const AveragePoolForward& arguments) {
  return static_cast<double>(arguments.x.count());
}
double bytes_moved(const AveragePoolForward& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

void validate(const AveragePoolBackward& arguments) {
  validate_pair("average_pool_backward", "grad_y", arguments.grad_y, "grad_x", arguments.grad_x, arguments.factor,
                false);
}
double flops(const AveragePoolBackward& arguments) {
  return static_cast<double>(arguments.grad_x.count());
}
double bytes_moved(const AveragePoolBackward& arguments) {
  return bytes_of(arguments.grad_y) + bytes_written(arguments.grad_x, arguments.write);
}

}  // namespace tweedie
