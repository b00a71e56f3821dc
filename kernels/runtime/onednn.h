#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <cstddef>
#include <list>
#include <map>
#include <utility>

#include "kernels/runtime/error.h"

// What the CPU kernels that call oneDNN share. For .cpp files only: it brings in oneDNN's headers.
namespace tweedie::onednn {

const dnnl::engine& engine();
/// oneDNN's CPU stream runs a primitive before execute() returns, on the OpenMP threads.
const dnnl::stream& stream();

/// A buffer of this thread, at least `bytes` long and aligned to 64, valid until the next call for the same `slot`: it
/// grows and is kept, so that a training step past the first asks for no memory.
enum class Slot { primitive, packed, product, transformed, count };
void* scratch(Slot slot, std::size_t bytes);
inline float* scratch_floats(Slot slot, std::int64_t count) {
  return static_cast<float*>(scratch(slot, static_cast<std::size_t>(count) * sizeof(float)));
}

/// The `capacity` most recently used values. Making a primitive costs as much as running a small one, so they are kept
/// by shape.
template <class Key, class Value>
class LruCache {
 public:
  explicit LruCache(std::size_t capacity) : capacity_(capacity) {}
  template <class Make>
  Value& get(const Key& key, Make&& make) {
    if (const auto found = entries_.find(key); found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    order_.emplace_front(key, make());
    entries_[key] = order_.begin();
    if (order_.size() > capacity_) {
      entries_.erase(order_.back().first);
      order_.pop_back();
    }
    return order_.front().second;
  }
  std::size_t size() const { return order_.size(); }

 private:
  std::size_t capacity_;
  std::list<std::pair<Key, Value>> order_;
  std::map<Key, typename std::list<std::pair<Key, Value>>::iterator> entries_;
};

/// Runs a call of oneDNN; its exceptions become Errors that name `operation`.
template <class Call>
auto checked(const char* operation, Call&& call) {
  try {
    return call();
  } catch (const dnnl::error& error) {
    fail("{}: oneDNN: {} (status {})", operation, error.what(), static_cast<int>(error.status));
  }
}

}  // namespace tweedie::onednn
