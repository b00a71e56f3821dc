#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/runtime/error.h"

namespace tweedie {

/// The extents of a dense row-major array, at most six of them; rank 0 is a scalar.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents) {
    require(extents.size() <= max_rank, "shape: rank {} is above the largest supported, {}", extents.size(), max_rank);
    for (std::int64_t extent : extents) append(extent);
  }

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return extents_[normalised(axis)]; }
  std::int64_t& operator[](int axis) { return extents_[normalised(axis)]; }
  void append(std::int64_t extent) {
    require(rank_ < max_rank, "shape: rank above the largest supported, {}", max_rank);
    require(extent >= 0, "shape: negative extent {}", extent);
    extents_[rank_++] = extent;
  }
  /// Number of elements; 1 for a scalar.
  std::int64_t count() const { return count_between(0, rank_); }
  /// Product of the extents of axes first <= axis < last.
  std::int64_t count_between(int first, int last) const {
    std::int64_t n = 1;
    for (int axis = first; axis < last; ++axis) n *= extents_[axis];
    return n;
  }
  const std::int64_t* begin() const { return extents_; }
  const std::int64_t* end() const { return extents_ + rank_; }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int axis = 0; axis < rank_; ++axis)
      if ((*this)[axis] != other[axis]) return false;
    return true;
  }
  /// "(128, 32, 32, 64)"
  std::string to_string() const {
    std::string text = "(";
    for (int axis = 0; axis < rank_; ++axis) text += (axis > 0 ? ", " : "") + std::to_string(extents_[axis]);
    return text + ")";
  }

 private:
  int normalised(int axis) const {
    const int index = axis < 0 ? axis + rank_ : axis;
    require(index >= 0 && index < rank_, "shape {}: axis {} out of range", to_string(), axis);
    return index;
  }
  std::int64_t extents_[max_rank] = {};
  int rank_ = 0;
};

}  // namespace tweedie

template <>
struct fmt::formatter<tweedie::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const tweedie::Shape& shape, Context& context) const {
    const std::string text = shape.to_string();
    return std::copy(text.begin(), text.end(), context.out());
  }
};
