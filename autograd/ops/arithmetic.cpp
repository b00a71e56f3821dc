#include "autograd/ops/arithmetic.h"

#include "autograd/ops/shape.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/reduction/reduction.h"
#include "kernels/runtime/checks.h"

namespace tweedie {
namespace {

Tensor binary_values(BinaryKind kind, std::string_view name, const Tensor& a, const Tensor& b) {
  require(a.defined() && b.defined(), "{}: undefined operand", name);
  Tensor out = Tensor::empty(broadcast_shape(name, a.shape(), b.shape()), a.dtype(), a.device());
  binary(out.stream(), {.kind = kind, .a = a.array(), .b = b.array(), .out = out.array()});
  return out;
}

/// Sums a gradient over the axes that broadcasting repeated, back to the operand's shape.
Tensor sum_to_shape(const Tensor& gradient, const Shape& shape) {
  Tensor current = gradient;
  const int extra = gradient.rank() - shape.rank();
  for (int axis = 0; axis < gradient.rank(); ++axis) {
    const std::int64_t wanted = axis >= extra ? shape[axis - extra] : 1;
    const Shape from = current.shape();
    if (from[axis] == wanted) continue;
    Shape to = from;
    to[axis] = 1;
    const Shape view{from.count_between(0, axis), from[axis], from.count_between(axis + 1, from.rank())};
    Tensor reduced = Tensor::empty(to, current.dtype(), current.device());
    reduce(reduced.stream(),
           {.kind = ReduceKind::sum, .x = current.array(view), .y = reduced.array(Shape{view[0], view[2]})});
    current = reduced;
  }
  return with_shape(current, shape);
}

Tensor scaled(const Tensor& x, double factor, double constant = 0.0) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  scale_add(y.stream(), {.a = x.array(), .b = {}, .out = y.array(), .scale_a = factor, .constant = constant});
  return y;
}

Tensor unary_operation(std::string_view name, UnaryKind kind, const Tensor& x) {
  require(x.defined(), "{}: undefined operand", name);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  unary(y.stream(), {.kind = kind, .x = x.array(), .y = y.array()});
  return record(name, y, {x}, [kind, x = x.detach(), y = y.detach()](Backward& backward) {
    const auto place = backward.destination(0);
    unary_backward(x.stream(), {.kind = kind,
                                .x = x.array(),
                                .y = y.array(),
                                .grad_y = backward.grad_output().array(),
                                .grad_x = place.array,
                                .write = place.write});
  });
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return record("add", binary_values(BinaryKind::add, "add", a, b), {a, b},
                [shape_a = a.shape(), shape_b = b.shape()](Backward& backward) {
                  if (backward.needs(0)) backward.give(0, sum_to_shape(backward.grad_output(), shape_a));
                  if (backward.needs(1)) backward.give(1, sum_to_shape(backward.grad_output(), shape_b));
                });
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  return record("subtract", binary_values(BinaryKind::subtract, "subtract", a, b), {a, b},
                [shape_a = a.shape(), shape_b = b.shape()](Backward& backward) {
                  if (backward.needs(0)) backward.give(0, sum_to_shape(backward.grad_output(), shape_a));
                  if (backward.needs(1)) backward.give(1, scaled(sum_to_shape(backward.grad_output(), shape_b), -1.0));
                });
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  return record("multiply", binary_values(BinaryKind::multiply, "multiply", a, b), {a, b},
                [a = a.detach(), b = b.detach()](Backward& backward) {
                  const Tensor& g = backward.grad_output();
                  if (backward.needs(0))
                    backward.give(0, sum_to_shape(binary_values(BinaryKind::multiply, "multiply", g, b), a.shape()));
                  if (backward.needs(1))
                    backward.give(1, sum_to_shape(binary_values(BinaryKind::multiply, "multiply", g, a), b.shape()));
                });
}

Tensor divide(const Tensor& a, const Tensor& b) {
  const Tensor y = binary_values(BinaryKind::divide, "divide", a, b);
  return record("divide", y, {a, b}, [shape_a = a.shape(), b = b.detach(), y = y.detach()](Backward& backward) {
    const Tensor over_b = binary_values(BinaryKind::divide, "divide", backward.grad_output(), b);
    if (backward.needs(0)) backward.give(0, sum_to_shape(over_b, shape_a));
    if (backward.needs(1)) {
      const Tensor product = binary_values(BinaryKind::multiply, "divide", over_b, y);
      backward.give(1, scaled(sum_to_shape(product, b.shape()), -1.0));
    }
  });
}

Tensor as_dtype(const Tensor& x, DType dtype) {
  if (!x.defined() || x.dtype() == dtype) return x;
  require(is_floating(x.dtype()) && is_floating(dtype), "as_dtype: {} to {}, expected floating dtypes",
          name_of(x.dtype()), name_of(dtype));
  const auto values = [](const Tensor& from, DType to) {
    const Tensor y = Tensor::empty(from.shape(), to, from.device());
    cast(y.stream(), {.x = from.array(), .y = y.array()});
    return y;
  };
  return record("as_dtype", values(x, dtype), {x}, [values, from = x.dtype()](Backward& backward) {
    backward.give(0, values(backward.grad_output(), from));
  });
}

Tensor parameter_beside(const Tensor& x, std::string_view operation, const Tensor& parameter) {
  if (!parameter.defined()) return {};
  require_wide_dtype(operation, "a parameter", parameter.array(), x.array());
  return as_dtype(parameter.detach(), x.dtype());
}

Tensor scale(const Tensor& x, double factor, double constant) {
  require(x.defined(), "scale: undefined operand");
  return record("scale", scaled(x, factor, constant), {x},
                [factor](Backward& backward) { backward.give(0, scaled(backward.grad_output(), factor)); });
}

Tensor negate(const Tensor& x) {
  return unary_operation("negate", UnaryKind::negate, x);
}
Tensor exp(const Tensor& x) {
  return unary_operation("exp", UnaryKind::exp, x);
}
Tensor log(const Tensor& x) {
  return unary_operation("log", UnaryKind::log, x);
}
Tensor sqrt(const Tensor& x) {
  return unary_operation("sqrt", UnaryKind::sqrt, x);
}
Tensor square(const Tensor& x) {
  return unary_operation("square", UnaryKind::square, x);
}
Tensor reciprocal(const Tensor& x) {
  return unary_operation("reciprocal", UnaryKind::reciprocal, x);
}
Tensor tanh(const Tensor& x) {
  return unary_operation("tanh", UnaryKind::tanh, x);
}
Tensor sin(const Tensor& x) {
  return unary_operation("sin", UnaryKind::sin, x);
}
Tensor cos(const Tensor& x) {
  return unary_operation("cos", UnaryKind::cos, x);
}

}  // namespace tweedie
