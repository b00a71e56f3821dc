#include "kernels/runtime/caching_allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "kernels/runtime/error.h"

namespace tweedie {

std::size_t CachingAllocator::block_size(std::size_t bytes) const {
  if (blocks_ == Blocks::exact) return std::max<std::size_t>(bytes, 1);
  if (bytes <= smallest_block_) return smallest_block_;
  const std::size_t step = std::max(smallest_block_, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  ++statistics_.allocations;
  void* pointer = nullptr;
  if (auto found = free_.find(size); blocks_ == Blocks::cached && found != free_.end() && !found->second.empty()) {
    pointer = found->second.back();
    found->second.pop_back();
  } else {
    pointer = ask_system(size);
    if (pointer == nullptr) {
      trim_locked();
      pointer = ask_system(size);
    }
    if (pointer == nullptr) throw Error(out_of_memory(bytes, statistics_));
    ++statistics_.system_calls;
    statistics_.bytes_reserved += static_cast<std::int64_t>(size);
  }
  sizes_[pointer] = size;
  statistics_.bytes_in_use += static_cast<std::int64_t>(size);
  statistics_.peak_bytes = std::max(statistics_.peak_bytes, statistics_.bytes_in_use);
  return pointer;
}

void CachingAllocator::release(void* pointer) noexcept {
  if (pointer == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(pointer);
  if (found == sizes_.end()) std::abort();  // not ours: memory is already corrupt
  const std::size_t size = found->second;
  statistics_.bytes_in_use -= static_cast<std::int64_t>(size);
  sizes_.erase(found);
  if (holding_) held_.insert(pointer);
  std::vector<void*>& blocks = free_[size];
  blocks.push_back(pointer);
  if (blocks_ == Blocks::exact) return_free_blocks(blocks, size);
}

void CachingAllocator::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

AllocatorStatistics CachingAllocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak_bytes = statistics_.bytes_in_use;
}

Allocator::Block CachingAllocator::block_of(const void* address) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [start, size] : sizes_)
    if (address >= start && address < static_cast<const std::byte*>(start) + size) return {start, size};
  return {};
}

void CachingAllocator::trim_locked() {
  for (auto& [size, blocks] : free_) return_free_blocks(blocks, size);
}

void CachingAllocator::return_free_blocks(std::vector<void*>& blocks, std::size_t size) {
  std::erase_if(blocks, [&](void* block) {
    if (held_.contains(block)) return false;
    return_to_system(block, size);
    statistics_.bytes_reserved -= static_cast<std::int64_t>(size);
    return true;
  });
}

CachingAllocator::Hold::Hold(CachingAllocator& allocator) : allocator_(allocator) {
  const std::lock_guard lock(allocator_.mutex_);
  allocator_.holding_ = true;
}

CachingAllocator::Hold::~Hold() {
  const std::lock_guard lock(allocator_.mutex_);
  allocator_.holding_ = false;
  allocator_.held_.clear();
  if (allocator_.blocks_ == Blocks::exact) allocator_.trim_locked();
}

}  // namespace tweedie
