#pragma once

#include "kernels/runtime/dtype.h"
#include "kernels/runtime/shape.h"

namespace tweedie {

struct Array;

/// nullptr, what an absent operand holds; in passing, operand_offsets() learns where a default-constructed one stands.
void* absent_operand(Array* array);

/// What a kernel sees of its operands: a dense row-major array that somebody else owns. A default-constructed Array
/// stands for an optional operand that is absent.
struct Array {
  void* data = absent_operand(this);
  Shape shape;
  DType dtype = DType::float32;

  explicit operator bool() const { return data != nullptr; }
  std::int64_t count() const { return shape.count(); }
  std::int64_t bytes() const { return shape.count() * static_cast<std::int64_t>(size_of(dtype)); }
  template <class T>
  T* as() const {
    require(dtype == dtype_of<T>(), "array {}: holds {}, read as {}", shape, name_of(dtype), name_of(dtype_of<T>()));
    return static_cast<T*>(data);
  }
};

/// Whether a kernel replaces its output or adds to it. Parameter gradients accumulate over micro-batches; gradients of
/// activations overwrite at their first contribution and accumulate at the later ones.
enum class Write : std::uint8_t { overwrite, accumulate };

}  // namespace tweedie
