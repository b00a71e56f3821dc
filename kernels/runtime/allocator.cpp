#include "kernels/runtime/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

constexpr std::size_t small_block = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Sizes grow in steps of an eighth of their power of two, so at most an eighth of a block is unused.
std::size_t block_size(std::size_t bytes) {
  if (bytes <= small_block) return small_block;
  const std::size_t step = std::max(small_block, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

class HostAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t size = block_size(bytes);
    const std::lock_guard lock(mutex_);
    ++statistics_.allocations;
    void* pointer = nullptr;
    if (auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
      pointer = found->second.back();
      found->second.pop_back();
    } else {
      pointer = ask_system(size);
      if (pointer == nullptr) {
        trim_locked();
        pointer = ask_system(size);
      }
      require(pointer != nullptr,
              "out of host memory: asked for {} bytes while {} are in use by this program; lower --batch or --subset",
              bytes, statistics_.bytes_in_use);
      ++statistics_.system_calls;
      statistics_.bytes_reserved += static_cast<std::int64_t>(size);
    }
    sizes_[pointer] = size;
    statistics_.bytes_in_use += static_cast<std::int64_t>(size);
    statistics_.peak_bytes = std::max(statistics_.peak_bytes, statistics_.bytes_in_use);
    return pointer;
  }

  void release(void* pointer) noexcept override {
    if (pointer == nullptr) return;
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(pointer);
    if (found == sizes_.end()) std::abort();  // not ours: memory is already corrupt
    statistics_.bytes_in_use -= static_cast<std::int64_t>(found->second);
    free_[found->second].push_back(pointer);
    sizes_.erase(found);
  }

  void trim() override {
    const std::lock_guard lock(mutex_);
    trim_locked();
  }
  AllocatorStatistics statistics() const override {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }
  void reset_peak() override {
    const std::lock_guard lock(mutex_);
    statistics_.peak_bytes = statistics_.bytes_in_use;
  }

 private:
  static void* ask_system(std::size_t size) {
    const bool large = size >= huge_page;
    void* pointer = std::aligned_alloc(large ? huge_page : small_block,
                                       large ? (size + huge_page - 1) / huge_page * huge_page : size);
    // Huge pages save most page faults and TLB misses of large activations; where they are refused nothing is lost.
    if (pointer != nullptr && large) madvise(pointer, size, MADV_HUGEPAGE);
    return pointer;
  }
  void trim_locked() {
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) std::free(block);
      statistics_.bytes_reserved -= static_cast<std::int64_t>(size * blocks.size());
    }
    free_.clear();
  }

  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::unordered_map<void*, std::size_t> sizes_;
  AllocatorStatistics statistics_;
};

}  // namespace

Allocator& host_allocator() {
  static HostAllocator* allocator = new HostAllocator;  // never destroyed: tensors in static storage may outlive main
  return *allocator;
}

}  // namespace tweedie
