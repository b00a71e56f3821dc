#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "kernels/runtime/error.h"

namespace tweedie {

/// Places for pieces in a ring of memory. A piece's place is free again once its fence has passed: Fence::wait()
/// returns then. Pieces go round in order, so that a new one waits for the oldest alone, and only where there is no
/// room.
template <class Fence>
class Ring {
 public:
  static constexpr std::size_t alignment = 256;
  Ring(std::size_t bytes, std::size_t most_pieces) : bytes_(bytes), most_pieces_(most_pieces) {}

  /// Where `bytes` may stand, at most the ring's own; the fence that guards them is given by `hold` before the next.
  std::size_t take(std::size_t bytes) {
    const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
    require(size <= bytes_, "ring of {} bytes: asked for {}", bytes_, bytes);
    const std::size_t first = next_ + size <= bytes_ ? next_ : 0, end = first + size;
    while (!pieces_.empty() && (pieces_.size() >= most_pieces_ || overlaps(first, end))) {
      pieces_.front().fence.wait();
      pieces_.pop_front();
    }
    taken_ = {first, end};
    next_ = end;
    return first;
  }
  void hold(Fence fence) { pieces_.push_back({taken_.first, taken_.second, std::move(fence)}); }

 private:
  struct Piece {
    std::size_t first, end;
    Fence fence;
  };
  bool overlaps(std::size_t first, std::size_t end) const {
    for (const Piece& piece : pieces_)
      if (first < piece.end && piece.first < end) return true;
    return false;
  }

  std::size_t bytes_, most_pieces_;
  std::deque<Piece> pieces_;  // oldest first
  std::size_t next_ = 0;
  std::pair<std::size_t, std::size_t> taken_ = {0, 0};
};

}  // namespace tweedie
