#include "kernels/runtime/allocator.h"

#include <sys/mman.h>

#include <cstdlib>

#include "kernels/runtime/caching_allocator.h"
#include "kernels/runtime/error.h"

namespace tweedie {
namespace {

constexpr std::size_t smallest_block = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

class HostAllocator final : public CachingAllocator {
 public:
  HostAllocator() : CachingAllocator(smallest_block, Blocks::cached) {}

 private:
  void* ask_system(std::size_t size) override {
    const bool large = size >= huge_page;
    void* pointer = std::aligned_alloc(large ? huge_page : smallest_block,
                                       large ? (size + huge_page - 1) / huge_page * huge_page : size);
    // Huge pages save most page faults and TLB misses of large activations; where they are refused nothing is lost.
    if (pointer != nullptr && large) madvise(pointer, size, MADV_HUGEPAGE);
    return pointer;
  }
  void return_to_system(void* pointer, std::size_t) noexcept override { std::free(pointer); }
  std::string out_of_memory(std::size_t asked, const AllocatorStatistics& statistics) const override {
    return fmt::format(
        "out of host memory: asked for {} bytes while {} are in use by this program; lower --batch or --subset", asked,
        statistics.bytes_in_use);
  }
};

}  // namespace

Allocator& host_allocator() {
  static HostAllocator* allocator = new HostAllocator;  // never destroyed: tensors in static storage may outlive main
  return *allocator;
}

}  // namespace tweedie
