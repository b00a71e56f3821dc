#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "autograd/tensor.h"

namespace tweedie::autograd {

/// Memory that tensors share; returned to its stream's allocator with the last of them.
struct Storage {
  Stream* stream = nullptr;
  void* data = nullptr;
  Storage(Stream& owner, std::size_t bytes) : stream(&owner), data(owner.allocator().allocate(bytes)) {}
  ~Storage() { stream->allocator().release(data); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

/// One recorded operation. Later ones have larger sequence numbers, so that descending order is a valid order of the
/// backward.
struct Node {
  std::string_view name;
  std::uint64_t sequence = 0;
  std::vector<std::shared_ptr<GradientSlot>> inputs;  // null for inputs that need no gradient
  std::function<void(Backward&)> backward;
};

/// Where a tensor's gradient is gathered. It stands apart from the values, so that the tape keeps no activation alive
/// but those that a backward captured.
struct GradientSlot {
  Shape shape;
  DType dtype = DType::float32;
  Device device;
  Tensor gradient;
  std::unique_ptr<Node> producer;  // none for a leaf
  bool leaf = true;
  bool freed = false;  // a backward has passed here

  static const std::shared_ptr<GradientSlot>& of(const Tensor& tensor) { return tensor.slot_; }
  /// The gradient's own memory, not shared with another slot, so that it can be added to.
  void make_unique();
  ~GradientSlot();
};

}  // namespace tweedie::autograd
