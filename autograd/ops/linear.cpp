#include "autograd/ops/linear.h"

#include "autograd/ops/activation.h"
#include "autograd/ops/arithmetic.h"
#include "kernels/matmul/matmul.h"
#include "kernels/reduction/reduction.h"

namespace tweedie {
namespace {

Array batched(const Array& array) {
  if (!array || array.shape.rank() == 3) return array;
  return {array.data, Shape{1, array.shape[0], array.shape[1]}, array.dtype};
}

/// Matrix `index` of a batch; the only one where it is shared.
Array matrix_of(const Array& array, std::int64_t index) {
  const Shape shape{array.shape[-2], array.shape[-1]};
  const bool shared = array.shape.rank() == 2 || array.shape[0] == 1;
  const auto bytes = static_cast<std::size_t>(shared ? 0 : index * shape.count()) * size_of(array.dtype);
  return {static_cast<char*>(array.data) + bytes, shape, array.dtype};
}

/// c (write) op(a) op(b) for operands of two or three axes.
void multiply_into(const Array& c, const Array& a, const Array& b, bool transpose_a, bool transpose_b, Write write,
                   Stream& stream) {
  matrix_multiply(stream, {.a = batched(a),
                           .b = batched(b),
                           .bias = {},
                           .c = batched(c),
                           .transpose_a = transpose_a,
                           .transpose_b = transpose_b,
                           .write = write});
}

void require_linear(const Tensor& x, const Tensor& weight) {
  require(x.defined() && weight.defined() && weight.rank() == 2 && x.rank() >= 1 && x.size(-1) == weight.size(1),
          "linear: x {} and weight {}, expected (..., in) and (out, in)", x.shape(), weight.shape());
}

/// Operands of one dtype.
Tensor linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                      std::optional<ActivationKind> kind) {
  const std::int64_t rows = x.shape().count_between(0, x.rank() - 1), in = weight.size(1), out = weight.size(0);
  Shape shape;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) shape.append(x.size(axis));
  shape.append(out);
  require(!residual.defined() || residual.shape() == shape, "linear: residual {}, expected {}", residual.shape(),
          shape);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  matrix_multiply(y.stream(), Matmul{.a = x.array(Shape{1, rows, in}),
                                     .b = weight.array(Shape{1, out, in}),
                                     .bias = bias.array(),
                                     .c = y.array(Shape{1, rows, out}),
                                     .transpose_b = true,
                                     .residual = residual.defined() ? residual.array(Shape{1, rows, out}) : Array{},
                                     .activation = kind});
  return y;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  require(a.defined() && b.defined(), "matmul: undefined operand");
  require((a.rank() == 2 && b.rank() == 2) || (a.rank() == 3 && (b.rank() == 3 || b.rank() == 2)),
          "matmul: shapes {} and {}, expected (M, K) and (K, N), each optionally with a leading batch", a.shape(),
          b.shape());
  const std::int64_t rows = a.size(transpose_a ? -1 : -2);
  const std::int64_t columns = b.size(transpose_b ? -2 : -1);
  const Shape shape = a.rank() == 3 ? Shape{a.size(0), rows, columns} : Shape{rows, columns};
  Tensor c = Tensor::empty(shape, a.dtype(), a.device());
  multiply_into(c.array(), a.array(), b.array(), transpose_a, transpose_b, Write::overwrite, c.stream());
  return record("matmul", c, {a, b}, [a = a.detach(), b = b.detach(), transpose_a, transpose_b](Backward& backward) {
    const Array gradient = backward.grad_output().array();
    Stream& stream = backward.grad_output().stream();
    if (const auto place = backward.destination(0); place.array) {
      if (!transpose_a) {
        multiply_into(place.array, gradient, b.array(), false, !transpose_b, place.write, stream);
      } else if (a.rank() == 3) {
        // b comes first here, and only a second operand may be shared by the batch: one matrix at a time.
        for (std::int64_t i = 0; i < a.size(0); ++i)
          multiply_into(matrix_of(place.array, i), matrix_of(b.array(), i), matrix_of(gradient, i), transpose_b, true,
                        place.write, stream);
      } else {
        multiply_into(place.array, b.array(), gradient, transpose_b, true, place.write, stream);
      }
    }
    if (!backward.needs(1)) return;
    // A b shared by the whole batch gathers the sum over the batch.
    const bool shared = a.rank() == 3 && (b.rank() == 2 || b.size(0) == 1) && a.size(0) != 1;
    Tensor grad_b = Tensor::empty(shared ? Shape{a.size(0), b.size(-2), b.size(-1)} : b.shape(), b.dtype(), b.device());
    if (transpose_b) {
      multiply_into(grad_b.array(), gradient, a.array(), true, transpose_a, Write::overwrite, stream);
    } else {
      multiply_into(grad_b.array(), a.array(), gradient, !transpose_a, false, Write::overwrite, stream);
    }
    if (shared) {
      Tensor total = Tensor::empty(b.shape(), b.dtype(), b.device());
      reduce(stream, {.kind = ReduceKind::sum,
                      .x = grad_b.array(Shape{1, a.size(0), b.count()}),
                      .y = total.array(Shape{1, b.count()})});
      grad_b = total;
    }
    backward.give(1, grad_b);
  });
}

Tensor linear(const Tensor& x, const Tensor& given_weight, const Tensor& given_bias, const Tensor& residual) {
  require_linear(x, given_weight);
  const Tensor weight = parameter_beside(x, "linear", given_weight), bias = parameter_beside(x, "linear", given_bias);
  const Tensor y = linear_forward(x, weight, bias, residual, {});
  const std::int64_t rows = x.shape().count_between(0, x.rank() - 1), in = weight.size(1), out = weight.size(0);
  return record("linear", y, {x, given_weight, given_bias, residual},
                [x = x.detach(), weight, rows, in, out](Backward& backward) {
                  Stream& stream = x.stream();
                  const Array gradient = backward.grad_output().array(Shape{1, rows, out});
                  if (const auto place = backward.destination(0); place.array)
                    matrix_multiply(stream, Matmul{.a = gradient,
                                                   .b = weight.array(Shape{1, out, in}),
                                                   .bias = {},
                                                   .c = {place.array.data, Shape{1, rows, in}, place.array.dtype},
                                                   .write = place.write});
                  if (const auto place = backward.destination(1); place.array)
                    matrix_multiply(stream, Matmul{.a = gradient,
                                                   .b = x.array(Shape{1, rows, in}),
                                                   .bias = {},
                                                   .c = {place.array.data, Shape{1, out, in}, place.array.dtype},
                                                   .transpose_a = true,
                                                   .write = place.write});
                  if (const auto place = backward.destination(2); place.array)
                    reduce(stream, {.kind = ReduceKind::sum,
                                    .x = gradient,
                                    .y = {place.array.data, Shape{1, out}, place.array.dtype},
                                    .write = place.write});
                  backward.give(3, backward.grad_output());
                });
}

Tensor activated_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, ActivationKind kind) {
  if (any_requires_grad({x, weight, bias})) return activation(linear(x, weight, bias), kind);
  require_linear(x, weight);
  const Tensor y =
      linear_forward(x, parameter_beside(x, "linear", weight), parameter_beside(x, "linear", bias), {}, kind);
  return record("linear", y, {x, weight, bias}, nullptr);
}

}  // namespace tweedie
