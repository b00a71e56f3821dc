#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/parity.h"

// The checker of the parity tests, checked: each planted error must make it fail, and say why.
namespace tweedie::testing_tools {
namespace {

template <class T>
void copy_doubled(std::span<const Array> arrays) {
  for (std::int64_t i = 0; i < arrays[0].count(); ++i) arrays[1].as<T>()[i] = T(2) * arrays[0].as<T>()[i];
}

/// y = 2 x, right on the reference, and on the cpu followed by `spoil`.
template <class Spoil>
OperationCase doubling(Spoil spoil, Fill fill = Fill::normal) {
  OperationCase out{.operation = "doubling", .label = "n=37"};
  out.operands = {{.name = "x", .shape = Shape({37}), .fill = fill},
                  {.name = "y", .shape = Shape({37}), .role = Role::output}};
  out.run = [spoil](Stream& stream, std::span<const Array> arrays) {
    if (stream.device().kind == DeviceKind::reference) return copy_doubled<double>(arrays);
    copy_doubled<float>(arrays);
    spoil(arrays[0].as<float>(), arrays[1].as<float>());
  };
  return out;
}

void expect_failure(const OperationCase& operation_case, const std::string& message) {
  for (const Alignment alignment : {Alignment::allocator, Alignment::element}) {
    const ParityResult result = check_parity(operation_case, {DeviceKind::cpu, 0}, alignment);
    ASSERT_FALSE(result.failures.empty()) << "expected: " << message;
    EXPECT_NE(result.failures.front().find(message), std::string::npos) << result.failures.front();
  }
}

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(ParityChecker, PassesWhatIsRight) {
  for (const Fill fill : {Fill::normal, Fill::positive, Fill::small_integers, Fill::ramp, Fill::ones}) {
    const OperationCase right = doubling([](float*, float*) {}, fill);
    const ParityResult result = check_parity(right, {DeviceKind::cpu, 0}, Alignment::element);
    EXPECT_TRUE(result.failures.empty()) << result.failures.front();
    EXPECT_EQ(result.worst, 0.0);
  }
}

TEST(ParityChecker, FailsOnAWrongValue) {
  expect_failure(doubling([](float*, float* y) { y[36] += 1e-5f; }), "1 of 37 elements are wrong; element 36");
  const OperationCase slightly = doubling([](float*, float* y) { y[36] = std::nextafter(y[36], infinity); });
  EXPECT_TRUE(check_parity(slightly, {DeviceKind::cpu, 0}, Alignment::allocator).failures.empty());
}

TEST(ParityChecker, FailsOnNaNAndInfinity) {
  expect_failure(doubling([](float*, float* y) { y[5] = not_a_number; }), "element 5: got nan, expected");
  expect_failure(doubling([](float*, float* y) { y[0] = infinity; }), "element 0: got inf");
}

TEST(ParityChecker, FailsOnAllZeroResults) {
  expect_failure(doubling([](float*, float* y) { std::fill_n(y, 37, 0.0f); }), "of 37 elements are wrong");
  expect_failure(doubling([](float*, float*) {}, Fill::zeros), "the reference is all zero");
}

TEST(ParityChecker, FailsOnWritesOutOfBounds) {
  expect_failure(doubling([](float*, float* y) { y[37] = 0.0f; }), "a write outside operand y (37): byte 148 of 148");
  expect_failure(doubling([](float*, float* y) { y[-1] = 0.0f; }), "a write outside operand y (37): byte -4 of 148");
  expect_failure(doubling([](float* x, float*) { x[40] = 1.0f; }), "a write outside operand x");
}

TEST(ParityChecker, FailsOnReadsOutOfBounds) {
  expect_failure(doubling([](float* x, float* y) { y[36] += 0.0f * x[37]; }), "finite, infinite and NaN");
  expect_failure(doubling([](float* x, float* y) { y[0] += 0.0f * x[-1]; }), "finite, infinite and NaN");
}

TEST(ParityChecker, FailsOnWritesToAnInput) {
  expect_failure(doubling([](float* x, float*) { x[3] += 1.0f; }), "operand x is only read");
}

TEST(ParityChecker, FailsOnElementsLeftUnwritten) {
  OperationCase lazy = doubling([](float*, float*) {});
  lazy.run = [](Stream& stream, std::span<const Array> arrays) {
    if (stream.device().kind == DeviceKind::reference) copy_doubled<double>(arrays);
  };
  expect_failure(lazy, "it was left unwritten");
  OperationCase lazy_reference = lazy;
  lazy_reference.run = [](Stream&, std::span<const Array>) {};
  expect_failure(lazy_reference, "the reference left it unwritten");
}

TEST(ParityChecker, ComparesIntegerOutputsExactly) {
  OperationCase indices{.operation = "doubling", .label = "indices"};
  indices.operands = {{.name = "x", .shape = Shape({9}), .fill = Fill::indices, .dtype = DType::int64, .scale = 100},
                      {.name = "y", .shape = Shape({9}), .role = Role::output, .dtype = DType::int64}};
  indices.run = [](Stream& stream, std::span<const Array> arrays) {
    copy_doubled<std::int64_t>(arrays);
    if (stream.device().kind == DeviceKind::cpu) arrays[1].as<std::int64_t>()[8] += 1;
  };
  expect_failure(indices, "integers must agree exactly");
}

TEST(ParityChecker, ComparesIntegerValuedResultsBitForBitWhereTheTableSaysSo) {
  OperationCase sum = doubling([](float*, float* y) { y[2] = std::nextafter(y[2], infinity); }, Fill::small_integers);
  EXPECT_TRUE(check_parity(sum, {DeviceKind::cpu, 0}, Alignment::allocator).failures.empty());
  sum.operation = "matmul";
  expect_failure(sum, "integers must agree exactly");
}

}  // namespace
}  // namespace tweedie::testing_tools
