#include <gtest/gtest.h>

#include "kernels/runtime/allocator.h"
#include "kernels/runtime/device.h"
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

TEST(Device, ParsesNamesAndRefusesOthers) {
  EXPECT_EQ(parse_device("cpu").kind, DeviceKind::cpu);
  EXPECT_THROW(parse_device("gpu"), UsageError);
  if (!has_backend(DeviceKind::cuda)) {
    EXPECT_THROW(parse_device("cuda"), Error);
  }
}

}  // namespace
}  // namespace tweedie
