// What random operands do not reach: NaN and infinities, and arguments that a contract refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/group_norm/group_norm.h"
#include "kernels/noising/noising.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/softmax/softmax.h"

namespace tweedie {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

Stream& cpu() {
  return default_stream({DeviceKind::cpu, 0});
}

Array array_of(std::vector<float>& values) {
  return {.data = values.data(), .shape = {static_cast<std::int64_t>(values.size())}};
}

/// 64 values, so that full vectors and not only tails are tried, with `special` at 17.
std::vector<float> with(float special) {
  std::vector<float> values(64, 0.5f);
  values[17] = special;
  return values;
}

TEST(SpecialValues, ANanIsNeverLost) {
  for (const UnaryKind kind : {UnaryKind::negate, UnaryKind::exp, UnaryKind::log, UnaryKind::sqrt, UnaryKind::square,
                               UnaryKind::reciprocal, UnaryKind::tanh, UnaryKind::sin, UnaryKind::cos}) {
    std::vector<float> x = with(not_a_number), y(x.size());
    unary(cpu(), {.kind = kind, .x = array_of(x), .y = array_of(y)});
    EXPECT_TRUE(std::isnan(y[17])) << static_cast<int>(kind);
    EXPECT_TRUE(std::isfinite(y[16]));
  }
  for (const ActivationKind kind :
       {ActivationKind::silu, ActivationKind::gelu, ActivationKind::gelu_tanh, ActivationKind::relu}) {
    std::vector<float> x = with(not_a_number), y(x.size());
    activation_forward(cpu(), {.kind = kind, .x = array_of(x), .y = array_of(y)});
    EXPECT_TRUE(std::isnan(y[17])) << static_cast<int>(kind);
    EXPECT_TRUE(std::isfinite(y[16]));
  }
  std::vector<float> x = with(not_a_number), y(x.size());
  softmax_forward(cpu(), {.x = {.data = x.data(), .shape = {2, 32}}, .y = {.data = y.data(), .shape = {2, 32}}});
  EXPECT_TRUE(std::isnan(y[17]));
  EXPECT_FLOAT_EQ(y[40], 1.0f / 32.0f);
}

TEST(SpecialValues, ExpOverflowsToInfinityAndUnderflowsToZero) {
  std::vector<float> x = {88.7f, 88.8f, infinity, -87.0f, -100.0f, -103.9f, -104.5f, -infinity, 0.0f};
  x.resize(32, 1.0f);
  std::vector<float> y(x.size());
  unary(cpu(), {.kind = UnaryKind::exp, .x = array_of(x), .y = array_of(y)});
  for (std::size_t i = 0; i < 9; ++i) {
    const float exact = static_cast<float>(std::exp(static_cast<double>(x[i])));
    if (std::isinf(exact) || exact == 0.0f || exact == 1.0f)
      EXPECT_EQ(y[i], exact) << x[i];
    else
      EXPECT_NEAR(y[i] / exact, 1.0, exact < 1e-37f ? 0.5 : 2e-7) << x[i];  // subnormals have few digits
  }
}

TEST(SpecialValues, NonFiniteValuesAreCountedInEveryArray) {
  std::vector<float> a(4099, 1.0f), b(33, -1.0f), c(100000, 0.0f);
  a[0] = not_a_number;
  a[4098] = infinity;
  b[32] = -infinity;
  c[65536] = not_a_number;
  c[99999] = not_a_number;
  const std::vector<Array> arrays{array_of(a), array_of(b), array_of(c)};
  std::int64_t count = -1;
  const Array count_array{.data = &count, .shape = {1}, .dtype = DType::int64};
  count_nonfinite(cpu(), {.arrays = arrays, .count = count_array});
  EXPECT_EQ(count, 5);
}

TEST(SpecialValues, AGlobalNormBeyondFloatSquaresIsRight) {
  std::vector<float> large(7, 1e25f), norm(1), scale(1);
  const std::vector<Array> arrays{array_of(large)};
  global_norm(cpu(), {.arrays = arrays, .norm = array_of(norm), .scale = array_of(scale), .max_norm = 1.0});
  EXPECT_FLOAT_EQ(norm[0], 1e25f * std::sqrt(7.0f));
  EXPECT_FLOAT_EQ(scale[0], 1.0f / norm[0]);
}

TEST(SpecialValues, CastRoundsToNearestEvenAndSaturates) {
  std::vector<float> x = {-3.0f, 0.5f, 1.5f, 2.5f, 254.6f, 300.0f, not_a_number};
  std::vector<std::uint8_t> bytes(x.size());
  cast(cpu(), {.x = array_of(x), .y = {.data = bytes.data(), .shape = {7}, .dtype = DType::uint8}});
  EXPECT_EQ(bytes, (std::vector<std::uint8_t>{0, 0, 2, 2, 255, 255, 0}));
  // bfloat16 keeps 8 bits: 1 + 2^-8 is a tie and goes to even, a little more goes up, also where only double has it.
  std::vector<double> wide = {1.0, 1.0 + 0x1p-8, 1.0 + 0x1p-8 + 0x1p-40, 1.0 + 3 * 0x1p-8, -1.0 - 0x1p-8 - 0x1p-40};
  std::vector<std::uint16_t> halves(wide.size());
  cast(cpu(), {.x = {.data = wide.data(), .shape = {5}, .dtype = DType::float64},
               .y = {.data = halves.data(), .shape = {5}, .dtype = DType::bfloat16}});
  EXPECT_EQ(halves, (std::vector<std::uint16_t>{0x3f80, 0x3f80, 0x3f81, 0x3f82, 0xbf81}));
}

template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(BadArguments, AreNamed) {
  std::vector<float> x(24), y(24), small(5), pair(2);
  const Array a{.data = x.data(), .shape = {2, 12}}, b{.data = y.data(), .shape = {12, 2}};
  EXPECT_EQ(message_of([&] { binary(cpu(), {.a = a, .b = b, .out = a}); }),
            "binary: shapes (2, 12) and (12, 2) do not broadcast: axis 2 from the end has extents 2 and 12");
  EXPECT_EQ(message_of([&] { unary(cpu(), {.x = a, .y = array_of(small)}); }),
            "unary: y has shape (5), expected (2, 12)");
  std::vector<std::int64_t> indices{0, 12};
  EXPECT_EQ(message_of([&] {
              embedding_lookup(cpu(), {.table = b,
                                       .indices = {.data = indices.data(), .shape = {2}, .dtype = DType::int64},
                                       .y = {.data = x.data(), .shape = {2, 2}}});
            }),
            "embedding_lookup: indices[1] is 12, expected 0 to 11");
  const Array plane{.data = x.data(), .shape = {2, 3, 4}}, out{.data = y.data(), .shape = {2, 3, 4}};
  const Array channel{.data = small.data(), .shape = {4}}, statistics{.data = pair.data(), .shape = {2, 3}};
  EXPECT_EQ(message_of([&] {
              group_norm_forward(cpu(), {.x = plane,
                                         .gamma = channel,
                                         .beta = channel,
                                         .y = out,
                                         .mean = statistics,
                                         .rstd = statistics,
                                         .groups = 3});
            }),
            "group_norm_forward: 3 groups do not divide 4 channels");
}

}  // namespace
}  // namespace tweedie
