#include "kernels/elementwise/elementwise.h"

#include <algorithm>

#include "kernels/runtime/checks.h"

namespace tweedie {

Shape broadcast_shape(std::string_view operation, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int axis = 0; axis < rank; ++axis) {
    const int from_end = rank - axis;
    const std::int64_t extent_a = from_end <= a.rank() ? a[-from_end] : 1;
    const std::int64_t extent_b = from_end <= b.rank() ? b[-from_end] : 1;
    require(extent_a == extent_b || extent_a == 1 || extent_b == 1,
            "{}: shapes {} and {} do not broadcast: axis {} from the end has extents {} and {}", operation, a, b,
            from_end, extent_a, extent_b);
    out.append(extent_a == 1 ? extent_b : extent_a);
  }
  return out;
}

void validate(const Binary& arguments) {
  require(arguments.a && arguments.b, "binary: operand {} is missing", arguments.a ? "b" : "a");
  require_shape("binary", "out", arguments.out, broadcast_shape("binary", arguments.a.shape, arguments.b.shape));
  require_same_dtype("binary", "b", arguments.b, arguments.a);
  require_same_dtype("binary", "out", arguments.out, arguments.a);
}
double flops(const Binary& arguments) {
  return static_cast<double>(arguments.out.count());
}
double bytes_moved(const Binary& arguments) {
  return bytes_of(arguments.a) + bytes_of(arguments.b) + bytes_of(arguments.out);
}

namespace {

double flops_of(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::exp:
    case UnaryKind::log:
    case UnaryKind::tanh:
    case UnaryKind::sin:
    case UnaryKind::cos:
      return 10.0;
    default:
      return 1.0;
  }
}

}  // namespace

void validate(const Unary& arguments) {
  require(static_cast<bool>(arguments.x), "unary: operand x is missing");
  require_shape("unary", "y", arguments.y, arguments.x.shape);
  require_same_dtype("unary", "y", arguments.y, arguments.x);
}
double flops(const Unary& arguments) {
  return flops_of(arguments.kind) * static_cast<double>(arguments.x.count());
}
double bytes_moved(const Unary& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

void validate(const UnaryBackward& arguments) {
  require(static_cast<bool>(arguments.x), "unary_backward: operand x is missing");
  require_shape("unary_backward", "y", arguments.y, arguments.x.shape);
  require_shape("unary_backward", "grad_y", arguments.grad_y, arguments.x.shape);
  require_shape("unary_backward", "grad_x", arguments.grad_x, arguments.x.shape);
  require_same_dtype("unary_backward", "y", arguments.y, arguments.x);
  require_same_dtype("unary_backward", "grad_y", arguments.grad_y, arguments.x);
  require_same_dtype("unary_backward", "grad_x", arguments.grad_x, arguments.x);
}
double flops(const UnaryBackward& arguments) {
  return 2.0 * static_cast<double>(arguments.x.count());
}
double bytes_moved(const UnaryBackward& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.x) + bytes_of(arguments.y) + bytes_of(arguments.grad_y) +
         passes * bytes_of(arguments.grad_x);
}

void validate(const ScaleAdd& arguments) {
  require(static_cast<bool>(arguments.a), "scale_add: operand a is missing");
  require_optional_shape("scale_add", "b", arguments.b, arguments.a.shape);
  require_shape("scale_add", "out", arguments.out, arguments.a.shape);
  require_same_dtype("scale_add", "b", arguments.b, arguments.a);
  require_same_dtype("scale_add", "out", arguments.out, arguments.a);
}
double flops(const ScaleAdd& arguments) {
  return (arguments.b ? 4.0 : 2.0) * static_cast<double>(arguments.a.count());
}
double bytes_moved(const ScaleAdd& arguments) {
  return bytes_of(arguments.a) + bytes_of(arguments.b) + bytes_of(arguments.out);
}

void validate(const FillValue& arguments) {
  require(static_cast<bool>(arguments.out), "fill_value: operand out is missing");
}
double flops(const FillValue&) {
  return 0.0;
}
double bytes_moved(const FillValue& arguments) {
  return bytes_of(arguments.out);
}

void validate(const Cast& arguments) {
  require(static_cast<bool>(arguments.x), "cast: operand x is missing");
  require_shape("cast", "y", arguments.y, arguments.x.shape);
}
double flops(const Cast& arguments) {
  return static_cast<double>(arguments.x.count());
}
double bytes_moved(const Cast& arguments) {
  return bytes_of(arguments.x) + bytes_of(arguments.y);
}

}  // namespace tweedie
