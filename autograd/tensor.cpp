#include "autograd/tensor.h"

#include <algorithm>
#include <bit>

#include "autograd/tape.h"
#include "kernels/elementwise/elementwise.h"

namespace tweedie {
namespace {

template <class To, class From>
std::vector<To> converted(std::span<const From> values) {
  std::vector<To> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](From value) { return static_cast<To>(value); });
  return out;
}

template <class T>
Tensor copied(std::span<const T> values, const Shape& shape, DType dtype, Device device) {
  require(static_cast<std::int64_t>(values.size()) == shape.count(),
          "tensor from host: {} values do not fill shape {} ({} elements)", values.size(), shape, shape.count());
  Tensor tensor = Tensor::empty(shape, dtype, device);
  tensor.stream().copy_from_host(tensor.array().data, values.data(), values.size_bytes());
  return tensor;
}

template <class T>
Tensor copied_floating(std::span<const T> values, const Shape& shape, Device device) {
  if (float_dtype(device) == dtype_of<T>()) return copied(values, shape, dtype_of<T>(), device);
  if (float_dtype(device) == DType::float64) {
    const auto wide = converted<double>(values);
    return copied(std::span<const double>(wide), shape, DType::float64, device);
  }
  const auto narrow = converted<float>(values);
  return copied(std::span<const float>(narrow), shape, DType::float32, device);
}

template <class T>
std::vector<T> bytes_to_host(const Tensor& tensor) {
  std::vector<T> out(static_cast<std::size_t>(tensor.count()));
  tensor.stream().copy_to_host(out.data(), tensor.array().data, out.size() * sizeof(T));
  return out;
}

template <class T>
std::vector<T> floats_to_host(const Tensor& tensor) {
  require(tensor.defined(), "tensor to host: the tensor is undefined");
  switch (tensor.dtype()) {
    case DType::float32: {
      const auto values = bytes_to_host<float>(tensor);
      return converted<T>(std::span(values));
    }
    case DType::float64: {
      const auto values = bytes_to_host<double>(tensor);
      return converted<T>(std::span(values));
    }
    case DType::uint8: {
      const auto values = bytes_to_host<std::uint8_t>(tensor);
      return converted<T>(std::span(values));
    }
    case DType::bfloat16: {
      const auto bits = bytes_to_host<std::uint16_t>(tensor);
      std::vector<T> values(bits.size());
      std::transform(bits.begin(), bits.end(), values.begin(), [](std::uint16_t upper) {
        return static_cast<T>(std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16));
      });
      return values;
    }
    default:
      fail("tensor to host: {} tensor {} read as floating values", name_of(tensor.dtype()), tensor.shape());
  }
}

}  // namespace

DType float_dtype(Device device) {
  return device.kind == DeviceKind::reference ? DType::float64 : DType::float32;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * size_of(dtype);
  tensor.storage_ = std::make_shared<autograd::Storage>(default_stream(device), bytes);
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, Device device) {
  Tensor tensor = empty(shape, device);
  if (value == 0.0) {
    tensor.stream().zero(tensor.array().data, static_cast<std::size_t>(tensor.array().bytes()));
  } else {
    fill_value(tensor.stream(), {.out = tensor.array(), .value = value});
  }
  return tensor;
}

Tensor Tensor::from_host(std::span<const float> values, const Shape& shape, Device device) {
  return copied_floating(values, shape, device);
}
Tensor Tensor::from_host(std::span<const double> values, const Shape& shape, Device device) {
  return copied_floating(values, shape, device);
}
Tensor Tensor::from_host(std::span<const std::int64_t> values, const Shape& shape, Device device) {
  return copied(values, shape, DType::int64, device);
}
Tensor Tensor::from_host(std::span<const std::uint8_t> values, const Shape& shape, Device device) {
  return copied(values, shape, DType::uint8, device);
}

Stream& Tensor::stream() const {
  require(defined(), "tensor: undefined tensor used");
  return *storage_->stream;
}
Device Tensor::device() const {
  return stream().device();
}

Array Tensor::array() const {
  if (!defined()) return {};
  return {.data = storage_->data, .shape = shape_, .dtype = dtype_};
}

Array Tensor::array(const Shape& shape) const {
  if (!defined()) return {};
  require(shape.count() == shape_.count(), "tensor {} cannot be seen as {}: element counts differ", shape_, shape);
  return {.data = storage_->data, .shape = shape, .dtype = dtype_};
}

std::vector<float> Tensor::to_host() const {
  return floats_to_host<float>(*this);
}
std::vector<double> Tensor::to_host_double() const {
  return floats_to_host<double>(*this);
}

std::vector<std::int64_t> Tensor::to_host_integers() const {
  require(defined() && dtype_ == DType::int64, "tensor to host: expected an int64 tensor");
  return bytes_to_host<std::int64_t>(*this);
}

double Tensor::item() const {
  require(defined() && count() == 1, "item: the tensor has shape {}, expected one element", shape_);
  return to_host_double()[0];
}

void Tensor::copy_from_host(std::span<const float> values) const {
  require(defined() && static_cast<std::int64_t>(values.size()) == count(),
          "copy from host: {} values for a tensor of shape {}", values.size(), shape_);
  if (dtype_ == DType::float64) {
    const auto wide = converted<double>(values);
    stream().copy_from_host(storage_->data, wide.data(), wide.size() * sizeof(double));
  } else {
    require(dtype_ == DType::float32, "copy from host: floats for a {} tensor", name_of(dtype_));
    stream().copy_from_host(storage_->data, values.data(), values.size_bytes());
  }
}

void Tensor::copy_from(const Tensor& other) const {
  require(
      defined() && other.defined() && other.shape_ == shape_ && other.dtype_ == dtype_ && other.device() == device(),
      "copy: {} {} into {} {}; shape, dtype and device must agree", name_of(other.dtype_), other.shape_,
      name_of(dtype_), shape_);
  stream().copy(storage_->data, other.storage_->data, static_cast<std::size_t>(array().bytes()));
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape_, dtype_, device());
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::detach() const {
  Tensor tensor = *this;
  tensor.slot_ = nullptr;
  return tensor;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return detach();
  if (dtype_ == DType::int64) {
    const auto values = to_host_integers();
    return from_host(values, shape_, device);
  }
  if (dtype_ == DType::uint8) {
    const auto values = bytes_to_host<std::uint8_t>(*this);
    return from_host(values, shape_, device);
  }
  const auto values = to_host_double();
  return from_host(values, shape_, device);
}

Tensor with_shape(const Tensor& x, const Shape& shape) {
  require(x.defined() && shape.count() == x.count(), "reshape: {} into {}: element counts differ", x.shape(), shape);
  Tensor y = x.detach();
  y.shape_ = shape;
  return y;
}

}  // namespace tweedie
