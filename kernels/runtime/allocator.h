#pragma once

#include <cstddef>
#include <cstdint>

namespace tweedie {

struct AllocatorStatistics {
  std::int64_t bytes_in_use = 0;    // handed out now, rounded up to blocks
  std::int64_t peak_bytes = 0;      // the largest bytes_in_use since the last reset_peak
  std::int64_t bytes_reserved = 0;  // taken from the system, in use or kept for reuse
  std::int64_t allocations = 0;     // calls of allocate
  std::int64_t system_calls = 0;    // of them, those that had to ask the system
};

/// A caching allocator: a freed block is kept and handed out again, so that a training step past the first never asks
/// the system. Blocks are aligned to 64 bytes. Calls may come from several threads.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// Uninitialised memory. Throws Error naming what was asked, held and free.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* pointer) noexcept = 0;
  /// Returns cached blocks to the system.
  virtual void trim() = 0;
  virtual AllocatorStatistics statistics() const = 0;
  virtual void reset_peak() = 0;
  struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
  };
  /// The block in use that holds `address`; none where it is not this allocator's. Slow, for checkers.
  virtual Block block_of(const void* address) const = 0;
};

/// The host allocator behind the cpu and reference devices.
Allocator& host_allocator();

}  // namespace tweedie
