#include "kernels/runtime/ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace tweedie {
namespace {

/// A piece as its user sees it: in use until somebody waited for it.
struct Use {
  std::size_t first, end;
  bool waited = false;
};
struct Fence {
  std::shared_ptr<Use> use;
  void wait() const { use->waited = true; }
};

class RingOfUses {
 public:
  RingOfUses(std::size_t bytes, std::size_t most) : ring_(bytes, most) {}
  std::shared_ptr<Use> add(std::size_t bytes) {
    const std::size_t first = ring_.take(bytes);
    auto use = std::make_shared<Use>(Use{first, first + bytes});
    ring_.hold({use});
    return use;
  }

 private:
  Ring<Fence> ring_;
};

TEST(Ring, WaitsForNothingWhileThereIsRoom) {
  RingOfUses ring(4096, 100);
  std::vector<std::shared_ptr<Use>> uses;
  for (int i = 0; i < 16; ++i) uses.push_back(ring.add(200));  // places of 256 bytes each
  for (const auto& use : uses) EXPECT_FALSE(use->waited);
  ring.add(1);
  EXPECT_TRUE(uses[0]->waited);
  EXPECT_FALSE(uses[1]->waited);
}

TEST(Ring, WaitsForTheOldestBeyondItsNumberOfPieces) {
  RingOfUses ring(1 << 20, 3);
  const auto a = ring.add(10), b = ring.add(10), c = ring.add(10);
  EXPECT_FALSE(a->waited);
  ring.add(10);
  EXPECT_TRUE(a->waited);
  EXPECT_FALSE(b->waited);
  EXPECT_FALSE(c->waited);
}

TEST(Ring, NeverGivesAPlaceThatIsInUse) {
  std::mt19937 random(7);
  constexpr std::size_t capacity = 64 << 10;
  RingOfUses ring(capacity, 16);
  std::vector<std::shared_ptr<Use>> uses;
  for (int i = 0; i < 5000; ++i) {
    const auto use = ring.add(1 + random() % (i % 10 == 0 ? capacity : 3000));
    ASSERT_LE(use->end, capacity);
    for (const auto& other : uses)
      ASSERT_TRUE(other->waited || use->first >= other->end || other->first >= use->end) << "piece " << i;
    uses.push_back(use);
    if (uses.size() > 100) uses.erase(uses.begin());
  }
}

TEST(Ring, RefusesMoreThanItHolds) {
  RingOfUses ring(1024, 4);
  EXPECT_THROW(ring.add(1025), Error);
}

}  // namespace
}  // namespace tweedie
