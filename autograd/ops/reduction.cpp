#include "autograd/ops/reduction.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/reduction/reduction.h"

namespace tweedie {
namespace {

Tensor reduced(std::string_view name, ReduceKind kind, const Tensor& x, int first, int last) {
  require(x.defined(), "{}: undefined operand", name);
  require(0 <= first && first <= last && last <= x.rank(), "{}: axes [{}, {}) of a tensor of shape {}", name, first,
          last, x.shape());
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis)
    if (axis < first || axis >= last) shape.append(x.size(axis));
  const Shape view{x.shape().count_between(0, first), x.shape().count_between(first, last),
                   x.shape().count_between(last, x.rank())};
  require(kind == ReduceKind::sum || view[1] > 0, "{}: no elements to average in shape {}", name, x.shape());
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  reduce(y.stream(), {.kind = kind, .x = x.array(view), .y = y.array(Shape{view[0], view[2]})});
  const double factor = kind == ReduceKind::mean ? 1.0 / static_cast<double>(view[1]) : 1.0;
  return record(name, y, {x}, [view, factor, shape = x.shape()](Backward& backward) {
    const Tensor& gradient = backward.grad_output();
    const Tensor weight = Tensor::empty(Shape{1, view[1], 1}, gradient.dtype(), gradient.device());
    fill_value(weight.stream(), {.out = weight.array(), .value = factor});
    Tensor spread = Tensor::empty(shape, gradient.dtype(), gradient.device());
    binary(spread.stream(), {.kind = BinaryKind::multiply,
                             .a = gradient.array(Shape{view[0], 1, view[2]}),
                             .b = weight.array(),
                             .out = spread.array(view)});
    backward.give(0, spread);
  });
}

}  // namespace

Tensor sum(const Tensor& x, int first, int last) {
  return reduced("sum", ReduceKind::sum, x, first, last);
}
Tensor mean(const Tensor& x, int first, int last) {
  return reduced("mean", ReduceKind::mean, x, first, last);
}
Tensor sum(const Tensor& x) {
  return sum(x, 0, x.rank());
}
Tensor mean(const Tensor& x) {
  return mean(x, 0, x.rank());
}

}  // namespace tweedie
