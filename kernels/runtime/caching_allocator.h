#pragma once

#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kernels/runtime/allocator.h"

namespace tweedie {

/// The caching that the allocators of all devices share: blocks by size, sizes in steps of an eighth of their power of
/// two, so that at most an eighth of a block is unused. A device supplies the memory.
class CachingAllocator : public Allocator {
 public:
  void* allocate(std::size_t bytes) final;
  void release(void* pointer) noexcept final;
  void trim() final;
  AllocatorStatistics statistics() const final;
  void reset_peak() final;
  Block block_of(const void* address) const final;

  /// While one stands, blocks that are released may be handed out again but do not go back to the system: work that is
  /// recorded meanwhile still uses them when it runs. At most one at a time.
  class Hold {
   public:
    explicit Hold(CachingAllocator& allocator);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    CachingAllocator& allocator_;
  };

 protected:
  /// exact: every block has the size asked for and goes back to the system when it is released, so that a checker sees
  /// each access beyond a block and after its end; slow.
  enum class Blocks : std::uint8_t { cached, exact };
  CachingAllocator(std::size_t smallest_block, Blocks blocks) : smallest_block_(smallest_block), blocks_(blocks) {}

  virtual void* ask_system(std::size_t size) = 0;  // nullptr where it has none
  virtual void return_to_system(void* pointer, std::size_t size) noexcept = 0;
  /// The message of the Error that ends an allocation.
  virtual std::string out_of_memory(std::size_t asked, const AllocatorStatistics& statistics) const = 0;

 private:
  std::size_t block_size(std::size_t bytes) const;
  void trim_locked();
  void return_free_blocks(std::vector<void*>& blocks, std::size_t size);

  std::size_t smallest_block_;
  Blocks blocks_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::unordered_map<void*, std::size_t> sizes_;
  bool holding_ = false;
  std::unordered_set<void*> held_;  // blocks of free_, or exact ones that wait for their return
  AllocatorStatistics statistics_;
};

}  // namespace tweedie
