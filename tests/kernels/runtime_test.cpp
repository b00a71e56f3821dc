#include <gtest/gtest.h>

#include "kernels/runtime/caching_allocator.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

// Known-answer vector of Philox4x32-10 published with Random123: all-zero counter and key.
TEST(Philox, MatchesPublishedVector) {
  const PhiloxBlock block = philox({.seed = 0, .purpose = static_cast<Purpose>(0), .step = 0}, 0, 0);
  EXPECT_EQ(block.words[0], 0x6627e8d5u);
  EXPECT_EQ(block.words[1], 0xe169c58du);
  EXPECT_EQ(block.words[2], 0xbc57ac4cu);
  EXPECT_EQ(block.words[3], 0x9b00dbd8u);
}

TEST(Philox, UniformIsInsideTheOpenInterval) {
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const double u = uniform({.seed = 7}, i);
    EXPECT_GT(u, 0.0);
    EXPECT_LT(u, 1.0);
  }
}

TEST(Allocator, ReusesFreedBlocks) {
  Allocator& allocator = host_allocator();
  void* first = allocator.allocate(1 << 20);
  allocator.release(first);
  const auto before = allocator.statistics();
  void* second = allocator.allocate(1 << 20);
  EXPECT_EQ(first, second);
  EXPECT_EQ(allocator.statistics().system_calls, before.system_calls);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second) % 64, 0u);
  allocator.release(second);
}

/// Gives out addresses of its own and counts what comes back.
class FakeAllocator final : public CachingAllocator {
 public:
  explicit FakeAllocator(bool exact) : CachingAllocator(256, exact ? Blocks::exact : Blocks::cached) {}
  bool full = false;
  std::vector<void*> returned;

 private:
  void* ask_system(std::size_t) override { return full ? nullptr : &memory_[256 * count_++]; }
  void return_to_system(void* pointer, std::size_t) noexcept override { returned.push_back(pointer); }
  std::string out_of_memory(std::size_t, const AllocatorStatistics&) const override { return "full"; }
  std::byte memory_[16 * 256] = {};
  std::size_t count_ = 0;
};

TEST(Allocator, KeepsWhatIsReleasedWhileItIsHeld) {
  FakeAllocator allocator(false);
  void* const before = allocator.allocate(100);
  void* const during = allocator.allocate(100);
  allocator.release(before);
  {
    const CachingAllocator::Hold hold(allocator);
    allocator.release(during);
    EXPECT_EQ(allocator.allocate(100), during);
    allocator.release(during);
    allocator.full = true;
    EXPECT_THROW(allocator.allocate(1000), Error);
    EXPECT_EQ(allocator.returned, std::vector<void*>{before});
  }
  allocator.trim();
  EXPECT_EQ(allocator.returned, (std::vector<void*>{before, during}));
  EXPECT_EQ(allocator.statistics().bytes_reserved, 0);
}

TEST(Allocator, ReturnsExactBlocksWhenTheyAreHeldNoMore) {
  FakeAllocator allocator(true);
  void* const before = allocator.allocate(100);
  void* const during = allocator.allocate(100);
  allocator.release(before);
  EXPECT_EQ(allocator.returned, std::vector<void*>{before});
  {
    const CachingAllocator::Hold hold(allocator);
    allocator.release(during);
    EXPECT_NE(allocator.allocate(100), during);
    EXPECT_EQ(allocator.returned, std::vector<void*>{before});
  }
  EXPECT_EQ(allocator.returned, (std::vector<void*>{before, during}));
}

TEST(Device, ParsesNamesAndRefusesOthers) {
  EXPECT_EQ(parse_device("cpu").kind, DeviceKind::cpu);
  EXPECT_THROW(parse_device("gpu"), UsageError);
  if (!has_backend(DeviceKind::cuda)) {
    EXPECT_THROW(parse_device("cuda"), Error);
  }
}

}  // namespace
}  // namespace tweedie
