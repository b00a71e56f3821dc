#include "kernels/cholesky/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

/// Random rows and the matrix sum r r' + I of them, beside the same by plain loops.
struct Example {
  SymmetricSystem system;
  std::vector<double> dense;  // (size, size)
};
Example example(std::int64_t size, std::int64_t rows) {
  Example made{SymmetricSystem(size), std::vector<double>(static_cast<std::size_t>(size * size), 0.0)};
  const std::int64_t stride = made.system.stride();
  std::vector<double> r(static_cast<std::size_t>(rows * stride), 0.0);
  for (std::int64_t k = 0; k < rows; ++k)
    for (std::int64_t i = 0; i < size; ++i)
      r[static_cast<std::size_t>(k * stride + i)] =
          normal({7}, static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(i));
  made.system.add_outer_products(r);
  made.system.add_to_diagonal(1.0);
  for (std::int64_t i = 0; i < size; ++i)
    for (std::int64_t j = 0; j < size; ++j) {
      double& entry = made.dense[static_cast<std::size_t>(i * size + j)];
      entry = i == j ? 1.0 : 0.0;
      for (std::int64_t k = 0; k < rows; ++k)
        entry += r[static_cast<std::size_t>(k * stride + i)] * r[static_cast<std::size_t>(k * stride + j)];
    }
  return made;
}

TEST(Cholesky, SumsOuterProductsAndSolves) {
  for (const std::int64_t size : {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 131}) {
    Example made = example(size, 70);
    for (std::int64_t i = 0; i < size; ++i)
      for (std::int64_t j = i; j < size; ++j)
        ASSERT_NEAR(made.system.at(i, j), made.dense[static_cast<std::size_t>(i * size + j)], 1e-12)
            << size << ": " << i << ", " << j;
    std::vector<double> x(static_cast<std::size_t>(size)), right(x.size(), 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i + 1));
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x.size(); ++j) right[i] += made.dense[i * x.size() + j] * x[j];
    made.system.factorise();
    made.system.solve(right);
    // The matrix's condition is below 400: errors of about 1e-16 x 400 x sqrt(131).
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(right[i], x[i], 1e-12) << size << ": " << i;
  }
}

TEST(Cholesky, MultipliesEntries) {
  Example a = example(19, 30);
  const Example b = example(19, 3);
  a.system.multiply_entries(b.system);
  EXPECT_NEAR(a.system.at(3, 11), a.dense[3 * 19 + 11] * b.dense[3 * 19 + 11], 1e-12);
  EXPECT_THROW(a.system.multiply_entries(SymmetricSystem(18)), Error);
}

TEST(Cholesky, RefusesWhatHasNoFactor) {
  SymmetricSystem indefinite(20);
  indefinite.add_to_diagonal(1.0);
  indefinite.at(2, 17) = 1.5;
  EXPECT_THROW(indefinite.factorise(), Error);
  SymmetricSystem broken(5);
  broken.add_to_diagonal(NAN);
  EXPECT_THROW(broken.factorise(), Error);
  SymmetricSystem unfactored(5);
  std::vector<double> right(5);
  EXPECT_THROW(unfactored.solve(right), Error);
  unfactored.add_to_diagonal(1.0);
  unfactored.factorise();
  std::vector<double> wrong(4);
  EXPECT_THROW(unfactored.solve(wrong), Error);
  EXPECT_THROW(unfactored.add_outer_products(std::vector<double>(3)), Error);
  EXPECT_THROW(SymmetricSystem(0), Error);
}

}  // namespace
}  // namespace tweedie
