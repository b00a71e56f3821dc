#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/array.h"
#include "kernels/runtime/stream.h"

namespace tweedie {

namespace autograd {
struct GradientSlot;
struct Storage;
}  // namespace autograd

/// The dtype that floating values have on a device: float64 on reference, float32 elsewhere.
DType float_dtype(Device device);

/// A handle to a dense row-major array on one device, and to its place on the tape. Copying a Tensor copies the handle:
/// both then share values and gradient. Values are always contiguous.
class Tensor {
 public:
  Tensor() = default;  // undefined: stands for an absent operand

  /// Uninitialised values.
  static Tensor empty(const Shape& shape, DType dtype, Device device);
  static Tensor empty(const Shape& shape, Device device) { return empty(shape, float_dtype(device), device); }
  static Tensor full(const Shape& shape, double value, Device device);
  static Tensor zeros(const Shape& shape, Device device) { return full(shape, 0.0, device); }
  /// Values copied from the host; floating ones become float_dtype(device). Throws where the count does not fit shape.
  static Tensor from_host(std::span<const float> values, const Shape& shape, Device device);
  static Tensor from_host(std::span<const double> values, const Shape& shape, Device device);
  static Tensor from_host(std::span<const std::int64_t> values, const Shape& shape, Device device);
  static Tensor from_host(std::span<const std::uint8_t> values, const Shape& shape, Device device);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t size(int axis) const { return shape_[axis]; }
  int rank() const { return shape_.rank(); }
  std::int64_t count() const { return shape_.count(); }
  DType dtype() const { return dtype_; }
  Device device() const;
  Stream& stream() const;
  /// What kernels read and write; an absent Array where this tensor is undefined.
  Array array() const;
  /// The same values seen with another shape of the same count, for kernels.
  Array array(const Shape& shape) const;

  /// Copies of the values on the host. Floating dtypes convert to float or double.
  std::vector<float> to_host() const;
  std::vector<double> to_host_double() const;
  std::vector<std::int64_t> to_host_integers() const;
  /// The only element of a tensor of count 1.
  double item() const;
  /// Replaces the values (not recorded on the tape). Throws where counts differ.
  void copy_from_host(std::span<const float> values) const;
  void copy_from(const Tensor& other) const;  // same shape, dtype and device

  /// A new tensor with a copy of the values, off the tape.
  Tensor clone() const;
  /// This tensor's values, off the tape.
  Tensor detach() const;
  /// The same values on another device (float_dtype there), off the tape.
  Tensor to(Device device) const;

  /// Makes this tensor a leaf that gradients are gathered for. Throws for tensors that an operation made.
  Tensor& set_requires_grad(bool requires_grad);
  bool requires_grad() const { return slot_ != nullptr; }
  /// The gradient gathered so far; undefined before the first backward and after clear_grad.
  Tensor grad() const;
  void clear_grad() const;

  /// Adds d(sum of cotangent * this)/d(leaf) to every leaf's gradient, freeing the tape and the activations it held as
  /// it passes. Without an argument this tensor must have one element and the cotangent is 1. Throws when nothing
  /// here requires a gradient, and when the tape has been freed by an earlier backward.
  void backward() const;
  void backward(const Tensor& cotangent) const;

 private:
  friend class Backward;
  friend struct autograd::GradientSlot;
  friend Tensor record(std::string_view, Tensor, std::initializer_list<Tensor>, std::function<void(class Backward&)>);
  friend Tensor record(std::string_view, Tensor, std::span<const Tensor>, std::function<void(class Backward&)>);
  friend Tensor with_shape(const Tensor& x, const Shape& shape);

  std::shared_ptr<autograd::Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::float32;
  std::shared_ptr<autograd::GradientSlot> slot_;
};

/// The same storage with another shape, off the tape (reshape of autograd/ops/shape.h is the recorded one).
Tensor with_shape(const Tensor& x, const Shape& shape);

/// While one lives, operations on this thread record nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};
bool grad_enabled();

/// While one lives, every result of an operation and every gradient on this thread is looked through, and the first
/// that holds a NaN or an infinity throws Error naming the operation: slow, for finding where a run went wrong.
class NonfiniteCheck {
 public:
  NonfiniteCheck();
  ~NonfiniteCheck();
  NonfiniteCheck(const NonfiniteCheck&) = delete;
  NonfiniteCheck& operator=(const NonfiniteCheck&) = delete;

 private:
  bool previous_;
};

/// How many values are NaN or infinite.
std::int64_t nonfinite_values(const Tensor& tensor);

/// What an operation's backward is given: the gradient of its output, and the places of its inputs' gradients.
class Backward {
 public:
  const Tensor& grad_output() const { return grad_output_; }
  bool needs(int input) const;

  struct Destination {
    Array array;  // the input's shape; absent where the input needs no gradient
    Write write = Write::overwrite;
  };
  /// Where a kernel writes input's gradient: overwrite at the first contribution, accumulate at the later ones.
  Destination destination(int input);
  /// The same for kernels that only accumulate: zeros at the first contribution.
  Array accumulated(int input);
  /// Gives a gradient that exists already: handed over at the first contribution, added at the later ones.
  void give(int input, const Tensor& gradient);

 private:
  friend class Tensor;
  Backward(Tensor grad_output, std::span<const std::shared_ptr<autograd::GradientSlot>> inputs)
      : grad_output_(std::move(grad_output)), inputs_(inputs) {}
  Tensor grad_output_;
  std::span<const std::shared_ptr<autograd::GradientSlot>> inputs_;
};

/// Puts `output` on the tape as made from `inputs` by the operation `name`, unless no input requires a gradient or
/// NoGrad holds. `backward` runs once; what it captures is freed right after. Inputs may be undefined tensors.
Tensor record(std::string_view name, Tensor output, std::initializer_list<Tensor> inputs,
              std::function<void(Backward&)> backward);
Tensor record(std::string_view name, Tensor output, std::span<const Tensor> inputs,
              std::function<void(Backward&)> backward);
/// True where record would record: lets a forward skip what only the backward needs.
bool any_requires_grad(std::initializer_list<Tensor> inputs);

}  // namespace tweedie
