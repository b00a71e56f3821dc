#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Arithmetic element by element. Not differentiable here: autograd composes the derivatives from the same operations.
// An operation's operands are all float32 or all bfloat16; FillValue takes, and Cast converts between, all dtypes.

/// The shape that `a` and `b` broadcast to (see Binary). Throws Error naming `operation` where they do not.
Shape broadcast_shape(std::string_view operation, const Shape& a, const Shape& b);

enum class BinaryKind : std::uint8_t { add, subtract, multiply, divide };

/// out = a (op) b with broadcasting: operands are aligned at their last axis, and an extent of 1 (or a missing leading
/// axis) is repeated, as in NumPy. out has the broadcast shape and may be a or b where the shapes are equal.
/// bytes: a + b + out; flops: one an output element.
struct Binary {
  BinaryKind kind = BinaryKind::add;
  Array a, b, out;
};
void validate(const Binary& arguments);
double flops(const Binary& arguments);
double bytes_moved(const Binary& arguments);
extern Operation<Binary> binary;

enum class UnaryKind : std::uint8_t { negate, exp, log, sqrt, square, reciprocal, tanh, sin, cos };

/// y = f(x), same shape; y may be x. bytes: x + y; flops: one an element (more for exp, log, tanh, sin, cos).
struct Unary {
  UnaryKind kind = UnaryKind::negate;
  Array x, y;
};
void validate(const Unary& arguments);
double flops(const Unary& arguments);
double bytes_moved(const Unary& arguments);
extern Operation<Unary> unary;

/// grad_x (write) grad_y f'(x), with y = f(x) given as well so that exp, sqrt, reciprocal and tanh reuse it.
struct UnaryBackward {
  UnaryKind kind = UnaryKind::negate;
  Array x, y, grad_y, grad_x;
  Write write = Write::overwrite;
};
void validate(const UnaryBackward& arguments);
double flops(const UnaryBackward& arguments);
double bytes_moved(const UnaryBackward& arguments);
extern Operation<UnaryBackward> unary_backward;

/// out = scale_a a + scale_b b + constant; b may be absent; same shapes; out may be a or b.
/// Also the accumulation of gradients (scale_a = scale_b = 1, out = a).
struct ScaleAdd {
  Array a, b, out;
  double scale_a = 1.0, scale_b = 1.0, constant = 0.0;
};
void validate(const ScaleAdd& arguments);
double flops(const ScaleAdd& arguments);
double bytes_moved(const ScaleAdd& arguments);
extern Operation<ScaleAdd> scale_add;

/// Every element of out becomes `value`.
struct FillValue {
  Array out;
  double value = 0.0;
};
void validate(const FillValue& arguments);
double flops(const FillValue& arguments);
double bytes_moved(const FillValue& arguments);
extern Operation<FillValue> fill_value;

/// y = x converted to y's dtype (round to nearest even; to uint8: saturating after rounding). Same shape.
struct Cast {
  Array x, y;
};
void validate(const Cast& arguments);
double flops(const Cast& arguments);
double bytes_moved(const Cast& arguments);
extern Operation<Cast> cast;

}  // namespace tweedie
