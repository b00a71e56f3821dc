#pragma once

#include <cstdint>

#include "kernels/runtime/allocator.h"

namespace tweedie {

/// Uninitialised memory of an allocator, for as long as this lives.
template <class T>
class Buffer {
 public:
  Buffer(Allocator& allocator, std::int64_t count)
      : allocator_(allocator),
        data_(static_cast<T*>(allocator.allocate(static_cast<std::size_t>(count) * sizeof(T)))) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { allocator_.release(data_); }
  T* data() const { return data_; }

 private:
  Allocator& allocator_;
  T* data_;
};

}  // namespace tweedie
