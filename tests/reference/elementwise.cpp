#include "kernels/elementwise/elementwise.h"

#include <cmath>

namespace tweedie {
namespace {

/// The element of an operand that broadcasts to `index` of an output of shape `out`.
double broadcast_element(const Array& operand, const Shape& out, std::int64_t index) {
  std::int64_t offset = 0, stride = 1;
  for (int from_end = 1; from_end <= out.rank(); ++from_end) {
    const std::int64_t position = index % out[-from_end];
    index /= out[-from_end];
    if (from_end > operand.shape.rank()) continue;
    if (operand.shape[-from_end] != 1) offset += position * stride;
    stride *= operand.shape[-from_end];
  }
  return operand.as<double>()[offset];
}

void binary_reference(Stream&, const Binary& arguments) {
  double* out = arguments.out.as<double>();
  for (std::int64_t i = 0; i < arguments.out.count(); ++i) {
    const double a = broadcast_element(arguments.a, arguments.out.shape, i);
    const double b = broadcast_element(arguments.b, arguments.out.shape, i);
    switch (arguments.kind) {
      case BinaryKind::add:
        out[i] = a + b;
        break;
      case BinaryKind::subtract:
        out[i] = a - b;
        break;
      case BinaryKind::multiply:
        out[i] = a * b;
        break;
      case BinaryKind::divide:
        out[i] = a / b;
        break;
    }
  }
}

double value(UnaryKind kind, double x) {
  switch (kind) {
    case UnaryKind::negate:
      return -x;
    case UnaryKind::exp:
      return std::exp(x);
    case UnaryKind::log:
      return std::log(x);
    case UnaryKind::sqrt:
      return std::sqrt(x);
    case UnaryKind::square:
      return x * x;
    case UnaryKind::reciprocal:
      return 1.0 / x;
    case UnaryKind::tanh:
      return std::tanh(x);
    case UnaryKind::sin:
      return std::sin(x);
    case UnaryKind::cos:
      return std::cos(x);
  }
  fail("unary: unknown kind {}", static_cast<int>(kind));
}

double derivative(UnaryKind kind, double x) {
  switch (kind) {
    case UnaryKind::negate:
      return -1.0;
    case UnaryKind::exp:
      return std::exp(x);
    case UnaryKind::log:
      return 1.0 / x;
    case UnaryKind::sqrt:
      return 0.5 / std::sqrt(x);
    case UnaryKind::square:
      return 2.0 * x;
    case UnaryKind::reciprocal:
      return -1.0 / (x * x);
    case UnaryKind::tanh:
      return 1.0 / (std::cosh(x) * std::cosh(x));
    case UnaryKind::sin:
      return std::cos(x);
    case UnaryKind::cos:
      return -std::sin(x);
  }
  fail("unary: unknown kind {}", static_cast<int>(kind));
}

void unary_reference(Stream&, const Unary& arguments) {
  for (std::int64_t i = 0; i < arguments.x.count(); ++i)
    arguments.y.as<double>()[i] = value(arguments.kind, arguments.x.as<double>()[i]);
}

void unary_backward_reference(Stream&, const UnaryBackward& arguments) {
  double* grad_x = arguments.grad_x.as<double>();
  for (std::int64_t i = 0; i < arguments.x.count(); ++i) {
    const double gradient = arguments.grad_y.as<double>()[i] * derivative(arguments.kind, arguments.x.as<double>()[i]);
    grad_x[i] = (arguments.write == Write::accumulate ? grad_x[i] : 0.0) + gradient;
  }
}

void scale_add_reference(Stream&, const ScaleAdd& arguments) {
  for (std::int64_t i = 0; i < arguments.a.count(); ++i) {
    const double b = arguments.b ? arguments.b.as<double>()[i] : 0.0;
    arguments.out.as<double>()[i] =
        arguments.scale_a * arguments.a.as<double>()[i] + arguments.scale_b * b + arguments.constant;
  }
}

double read(const Array& array, std::int64_t i) {
  switch (array.dtype) {
    case DType::float64:
      return array.as<double>()[i];
    case DType::int64:
      return static_cast<double>(array.as<std::int64_t>()[i]);
    case DType::uint8:
      return static_cast<double>(array.as<std::uint8_t>()[i]);
    default:
      fail("reference: cannot read {}", name_of(array.dtype));
  }
}

void write(const Array& array, std::int64_t i, double value) {
  switch (array.dtype) {
    case DType::float64:
      array.as<double>()[i] = value;
      return;
    case DType::int64:
      array.as<std::int64_t>()[i] = std::llrint(value);
      return;
    case DType::uint8:
      array.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(std::fmin(std::fmax(std::nearbyint(value), 0.0), 255.0));
      return;
    default:
      fail("reference: cannot write {}", name_of(array.dtype));
  }
}

void fill_value_reference(Stream&, const FillValue& arguments) {
  for (std::int64_t i = 0; i < arguments.out.count(); ++i) write(arguments.out, i, arguments.value);
}

void cast_reference(Stream&, const Cast& arguments) {
  for (std::int64_t i = 0; i < arguments.x.count(); ++i) write(arguments.y, i, read(arguments.x, i));
}

const bool registered = binary.implement(DeviceKind::reference, &binary_reference) &&
                        unary.implement(DeviceKind::reference, &unary_reference) &&
                        unary_backward.implement(DeviceKind::reference, &unary_backward_reference) &&
                        scale_add.implement(DeviceKind::reference, &scale_add_reference) &&
                        fill_value.implement(DeviceKind::reference, &fill_value_reference) &&
                        cast.implement(DeviceKind::reference, &cast_reference);

}  // namespace
}  // namespace tweedie
