#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tweedie {

/// A symmetric positive definite matrix in double, its Cholesky factor and the solutions of its systems, for the closed
/// forms of small models (ridge regression): oneDNN has no double precision. One thread each; vectorised.
///
/// Storage: the upper triangle, row-major, with rows padded to `stride()`. Building A = sum r r' of n rows costs n
/// size^2 flops, factorising size^3 / 3, a solution 2 size^2.
class SymmetricSystem {
 public:
  explicit SymmetricSystem(std::int64_t size);

  std::int64_t size() const { return size_; }
  /// Doubles from one row to the next, of the matrix and of what `add_outer_products` takes: size rounded up.
  std::int64_t stride() const { return stride_; }
  /// Entry (row, column) with column >= row.
  double& at(std::int64_t row, std::int64_t column) { return values_[row * stride_ + column]; }
  double at(std::int64_t row, std::int64_t column) const { return values_[row * stride_ + column]; }

  /// A += sum over rows r of r r'. rows (count, stride()), zero beyond `size()`. Throws Error where sizes do not fit.
  void add_outer_products(std::span<const double> rows);
  /// A = A * B entry by entry (Schur product). Throws Error for another size.
  void multiply_entries(const SymmetricSystem& other);
  void add_to_diagonal(double value);

  /// Replaces A by its factor U, A = U' U. Throws Error where A is not positive definite or not finite.
  void factorise();
  /// x (size) with A x = right, in place. Throws Error before `factorise`.
  void solve(std::span<double> right) const;

 private:
  std::int64_t size_, stride_;
  std::vector<double> values_;
  bool factorised_ = false;
};

}  // namespace tweedie
