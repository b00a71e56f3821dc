#pragma once

#include <string>

#include "kernels/runtime/array.h"
#include "nn/io/file.h"

namespace tweedie::io {

/// A named dense row-major array in host memory, as read from a file.
struct HostArray {
  std::string name;  // for messages: the file, and the entry within it
  DType dtype = DType::float32;
  Shape shape;
  Bytes data;

  std::int64_t count() const { return shape.count(); }
  /// Throws Error unless the array holds T.
  template <class T>
  std::span<const T> as() const {
    check(dtype_of<T>());
    return {reinterpret_cast<const T*>(data.data()), static_cast<std::size_t>(count())};
  }
  template <class T>
  std::span<T> as() {
    check(dtype_of<T>());
    return {reinterpret_cast<T*>(data.data()), static_cast<std::size_t>(count())};
  }
  /// What a kernel takes.
  Array array() { return {data.data(), shape, dtype}; }

 private:
  void check(DType wanted) const {
    require(dtype == wanted, "{}: holds {}, expected {}", name, name_of(dtype), name_of(wanted));
  }
};

/// A named array that somebody else owns, to be written.
struct ArrayView {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;
  ByteView data;
};

template <class T>
ArrayView view_of(std::string name, std::span<const T> values, const Shape& shape) {
  require(static_cast<std::int64_t>(values.size()) == shape.count(), "{}: {} values do not fill shape {}", name,
          values.size(), shape);
  return {std::move(name), dtype_of<T>(), shape, std::as_bytes(values)};
}
template <class T>
ArrayView view_of(std::string name, const std::vector<T>& values, const Shape& shape) {
  return view_of(std::move(name), std::span<const T>(values), shape);
}
inline ArrayView view_of(const HostArray& array) {
  return {array.name, array.dtype, array.shape, array.data};
}

/// The element count of `extents`, each at least 0; throws Error naming `name` where the product times `element_bytes`
/// does not fit 63 bits or there are more axes than Shape holds.
Shape checked_shape(std::span<const std::int64_t> extents, std::size_t element_bytes, std::string_view name);

/// The values as float32: exact from uint8, float16 (already widened on reading) and bfloat16, rounded from float64 and
/// int64.
std::vector<float> to_float32(const HostArray& array);

/// IEEE binary16 and bfloat16 bit patterns as float32 (exact).
float float16_to_float32(std::uint16_t bits);
float bfloat16_to_float32(std::uint16_t bits);

}  // namespace tweedie::io
