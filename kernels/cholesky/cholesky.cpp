#include "kernels/cholesky/cholesky.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cholesky/cholesky.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/error.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using DoubleTag = hn::CappedTag<double, 8>;  // its lanes divide the padding of rows

constexpr std::int64_t tile_rows = 8;  // unrolled below, so that the sums stay in registers

/// One tile, rows [i, i + 8) and columns [j, j + 2 vectors), of c += sign sum_k r_k r_k'.
template <bool subtract>
HWY_INLINE void update_tile(const double* rows, std::int64_t count, std::int64_t stride, std::int64_t i, std::int64_t j,
                            double* c) {
  const DoubleTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<DoubleTag> sum[tile_rows][2];
#pragma GCC unroll 8
  for (std::int64_t a = 0; a < tile_rows; ++a) {
    sum[a][0] = hn::LoadU(d, c + (i + a) * stride + j);
    sum[a][1] = hn::LoadU(d, c + (i + a) * stride + j + lanes);
  }
  for (std::int64_t k = 0; k < count; ++k) {
    const double* row = rows + k * stride;
    const auto first = hn::LoadU(d, row + j), second = hn::LoadU(d, row + j + lanes);
#pragma GCC unroll 8
    for (std::int64_t a = 0; a < tile_rows; ++a) {
      const auto factor = hn::Set(d, row[i + a]);
      if constexpr (subtract) {
        sum[a][0] = hn::NegMulAdd(factor, first, sum[a][0]);
        sum[a][1] = hn::NegMulAdd(factor, second, sum[a][1]);
      } else {
        sum[a][0] = hn::MulAdd(factor, first, sum[a][0]);
        sum[a][1] = hn::MulAdd(factor, second, sum[a][1]);
      }
    }
  }
#pragma GCC unroll 8
  for (std::int64_t a = 0; a < tile_rows; ++a) {
    hn::StoreU(sum[a][0], d, c + (i + a) * stride + j);
    hn::StoreU(sum[a][1], d, c + (i + a) * stride + j + lanes);
  }
}

/// The upper triangle of c from row and column `begin` (a multiple of 16) on.
template <bool subtract>
void update(const double* rows, std::int64_t count, std::int64_t stride, std::int64_t begin, double* c) {
  const DoubleTag d;
  const std::int64_t columns = 2 * static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t block = 64;  // rows that stay in the nearest cache while all tiles pass over them
  for (std::int64_t k = 0; k < count; k += block)
    for (std::int64_t i = begin; i < stride; i += tile_rows)
      for (std::int64_t j = i / columns * columns; j < stride; j += columns)
        update_tile<subtract>(rows + k * stride, std::min(block, count - k), stride, i, j, c);
}

void add_products(const double* rows, std::int64_t count, std::int64_t stride, double* c) {
  update<false>(rows, count, stride, 0, c);
}

/// From the vector that holds column `first` on.
HWY_INLINE void subtract_multiple(double* target, const double* source, double factor, std::int64_t first,
                                  std::int64_t stride) {
  const DoubleTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  for (std::int64_t j = first / lanes * lanes; j < stride; j += lanes)
    hn::StoreU(hn::NegMulAdd(f, hn::LoadU(d, source + j), hn::LoadU(d, target + j)), d, target + j);
}

/// Right-looking, in panels of 16 rows. Returns the first row with a pivot that is not above zero, -1 if there is none.
/// What lies left of the diagonal is scratch.
std::int64_t factorise(double* u, std::int64_t stride) {
  constexpr std::int64_t panel = 16;
  for (std::int64_t begin = 0; begin < stride; begin += panel) {
    for (std::int64_t k = begin; k < begin + panel; ++k) {
      double* row = u + k * stride;
      if (!(row[k] > 0.0) || !std::isfinite(row[k])) return k;
      const double root = std::sqrt(row[k]), scale = 1.0 / root;
      for (std::int64_t j = k + 1; j < stride; ++j) row[j] *= scale;
      row[k] = root;
      for (std::int64_t i = k + 1; i < begin + panel; ++i) subtract_multiple(u + i * stride, row, row[i], i, stride);
    }
    if (begin + panel < stride) update<true>(u + begin * stride, panel, stride, begin + panel, u);
  }
  return -1;
}

void solve(const double* u, std::int64_t stride, double* x) {
  const DoubleTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t k = 0; k < stride; ++k) {
    const double* row = u + k * stride;
    x[k] /= row[k];
    std::int64_t j = k + 1;
    for (; j % lanes != 0; ++j) x[j] -= row[j] * x[k];
    subtract_multiple(x, row, x[k], j, stride);
  }
  for (std::int64_t k = stride - 1; k >= 0; --k) {
    const double* row = u + k * stride;
    double sum = x[k];
    std::int64_t j = k + 1;
    for (; j % lanes != 0; ++j) sum -= row[j] * x[j];
    auto dot = hn::Zero(d);
    for (; j < stride; j += lanes) dot = hn::MulAdd(hn::LoadU(d, row + j), hn::LoadU(d, x + j), dot);
    x[k] = (sum - hn::GetLane(hn::SumOfLanes(d, dot))) / row[k];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {
namespace {

HWY_EXPORT(add_products);
HWY_EXPORT(factorise);
HWY_EXPORT(solve);

constexpr std::int64_t padding = 16;

}  // namespace

SymmetricSystem::SymmetricSystem(std::int64_t size) : size_(size), stride_((size + padding - 1) / padding * padding) {
  require(size > 0, "symmetric system: size {}, expected above 0", size);
  values_.assign(static_cast<std::size_t>(stride_ * stride_), 0.0);
}

void SymmetricSystem::add_outer_products(std::span<const double> rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  require(count % stride_ == 0, "symmetric system: {} numbers are no rows of {}", count, stride_);
  HWY_DYNAMIC_DISPATCH(add_products)(rows.data(), count / stride_, stride_, values_.data());
}

void SymmetricSystem::multiply_entries(const SymmetricSystem& other) {
  require(other.size_ == size_, "symmetric system: entries of sizes {} and {}", size_, other.size_);
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i] *= other.values_[i];
}

void SymmetricSystem::add_to_diagonal(double value) {
  for (std::int64_t i = 0; i < size_; ++i) at(i, i) += value;
}

void SymmetricSystem::factorise() {
  for (std::int64_t i = size_; i < stride_; ++i) at(i, i) = 1.0;  // the padding is a unit matrix of its own
  const std::int64_t failed = HWY_DYNAMIC_DISPATCH(factorise)(values_.data(), stride_);
  require(failed < 0, "symmetric system: not positive definite (pivot {} of {})", failed, size_);
  factorised_ = true;
}

void SymmetricSystem::solve(std::span<double> right) const {
  require(factorised_, "symmetric system: solve before factorise");
  require(static_cast<std::int64_t>(right.size()) == size_, "symmetric system: a right side of {}, expected {}",
          right.size(), size_);
  std::vector<double> padded(static_cast<std::size_t>(stride_), 0.0);
  std::copy(right.begin(), right.end(), padded.begin());
  HWY_DYNAMIC_DISPATCH(solve)(values_.data(), stride_, padded.data());
  std::copy(padded.begin(), padded.begin() + size_, right.begin());
}

}  // namespace tweedie
#endif  // HWY_ONCE
