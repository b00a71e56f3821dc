#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/noising/noising.h"
#include "kernels/runtime/normal.h"
#include "kernels/runtime/random.h"
#include "tests/reference/random.h"

namespace tweedie {
namespace {

constexpr RandomKey key{.seed = 0xfeedfacecafebeefu, .purpose = Purpose::test, .step = 11};

Stream& cpu() {
  return default_stream({DeviceKind::cpu, 0});
}

std::vector<float> filled(const Shape& shape, std::int64_t first_sample) {
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  fill_normal(cpu(), {.out = {.data = values.data(), .shape = shape}, .first_sample = first_sample, .key = key});
  return values;
}

TEST(Normal, FillEqualsTheScalarFunctionToTheLastBit) {
  for (const std::int64_t width : {1, 2, 3, 5, 63, 64, 65, 1031}) {
    const std::vector<float> values = filled({7, width}, 1000);
    for (std::int64_t n = 0; n < 7; ++n)
      for (std::int64_t j = 0; j < width; ++j)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(n * width + j)]),
                  std::bit_cast<std::uint32_t>(
                      normal(key, static_cast<std::uint32_t>(1000 + n), static_cast<std::uint32_t>(j))))
            << "sample " << 1000 + n << ", position " << j;
  }
}

TEST(Normal, ASampleDoesNotDependOnItsBatch) {
  constexpr std::int64_t width = 131;
  const std::vector<float> alone = filled({1, width}, 5);
  std::vector<std::int64_t> samples{9, 5, 5, 70000};
  std::vector<float> batch(static_cast<std::size_t>(4 * width));
  fill_normal(cpu(), {.out = {.data = batch.data(), .shape = {4, width}},
                      .samples = {.data = samples.data(), .shape = {4}, .dtype = DType::int64},
                      .key = key});
  for (std::size_t j = 0; j < width; ++j) {
    EXPECT_EQ(alone[j], batch[width + j]);
    EXPECT_EQ(alone[j], batch[2 * width + j]);
    EXPECT_NE(alone[j], batch[j]);
  }
}

TEST(Normal, NoisedImagesHoldTheSameNormals) {
  constexpr std::int64_t width = 1500;
  std::vector<std::uint8_t> images(width, 128);
  std::vector<std::int64_t> indices{0, 0}, samples{40, 41};
  std::vector<float> ones{1.0f, 1.0f}, z(2 * width), noise(2 * width);
  noise_images(cpu(), {.images = {.data = images.data(), .shape = {1, width}, .dtype = DType::uint8},
                       .indices = {.data = indices.data(), .shape = {2}, .dtype = DType::int64},
                       .samples = {.data = samples.data(), .shape = {2}, .dtype = DType::int64},
                       .alpha = {.data = ones.data(), .shape = {2}},
                       .sigma = {.data = ones.data(), .shape = {2}},
                       .z = {.data = z.data(), .shape = {2, width}},
                       .noise = {.data = noise.data(), .shape = {2, width}},
                       .key = key});
  EXPECT_EQ(noise, filled({2, width}, 40));
}

/// The distance of `value` from `exact` in units of the last place of a float of exact's size.
double ulps(float value, double exact) {
  const auto nearest = std::abs(static_cast<float>(exact));
  return std::abs(value - exact) / (std::nextafter(nearest, INFINITY) - nearest);
}

TEST(Normal, IsWithinThreeUlpsOfTheFormula) {
  double worst = 0.0;
  for (std::uint32_t sample = 0; sample < 64; ++sample)
    for (std::uint32_t position = 0; position < 4096; ++position)
      worst = std::max(worst, ulps(normal(key, sample, position), reference_normal(key, sample, position)));
  EXPECT_LT(worst, 3.0);  // 2.7 measured: radius, sine or cosine (1.3 each) and their product round
  EXPECT_GT(worst, 0.5);  // float arithmetic was used at all
}

TEST(Normal, IsExactAtTheEdgesOfTheWord) {
  // u near 0, 1/2 and 1 for the radius; every quadrant's borders for the angle.
  const std::uint32_t edges[] = {0u,          1u,          2u,          0x1fffffffu, 0x20000000u, 0x3fffffffu,
                                 0x40000000u, 0x4afb0ccbu, 0x5fffffffu, 0x60000000u, 0x7ffffffeu, 0x7fffffffu,
                                 0x80000000u, 0x80000001u, 0x9fffffffu, 0xb504f333u, 0xbfffffffu, 0xc0000000u,
                                 0xdfffffffu, 0xe0000000u, 0xfffffffeu, 0xffffffffu};
  for (const std::uint32_t first : edges)
    for (const std::uint32_t second : edges) {
      float even, odd;
      normal_pair(first, second, even, odd);
      // In long double: near u = 1 a double 2 pi u has lost digits that the float result still has.
      const long double u1 = (first + 0.5L) * 0x1p-32L, u2 = (second + 0.5L) * 0x1p-32L;
      const long double radius = std::sqrt(-2.0L * std::log(u1)), angle = 2.0L * std::numbers::pi_v<long double> * u2;
      EXPECT_LT(ulps(even, static_cast<double>(radius * std::cos(angle))), 3.0) << first << " " << second;
      EXPECT_LT(ulps(odd, static_cast<double>(radius * std::sin(angle))), 3.0) << first << " " << second;
    }
}

TEST(Normal, HasTheMomentsAndTailsOfANormal) {
  constexpr std::int64_t samples = 1024, width = 1024;
  constexpr double n = samples * width;
  const std::vector<float> values = filled({samples, width}, 0);
  double sum = 0.0, square = 0.0, cube = 0.0, fourth = 0.0, neighbours = 0.0, rows = 0.0;
  double beyond[5] = {};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i];
    sum += v;
    square += v * v;
    cube += v * v * v;
    fourth += v * v * v * v;
    if (i >= 1) neighbours += v * values[i - 1];
    if (i >= width) rows += v * values[i - width];
    for (int k = 1; k < 5; ++k) beyond[k] += std::abs(v) > k ? 1.0 : 0.0;
  }
  // Five standard deviations of each statistic: the moments of a normal are 0, 1, 0, 3 with variances 1, 2, 15, 96.
  EXPECT_NEAR(sum / n, 0.0, 5.0 * std::sqrt(1.0 / n));
  EXPECT_NEAR(square / n, 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(cube / n, 0.0, 5.0 * std::sqrt(15.0 / n));
  EXPECT_NEAR(fourth / n, 3.0, 5.0 * std::sqrt(96.0 / n));
  EXPECT_NEAR(neighbours / n, 0.0, 5.0 * std::sqrt(1.0 / n));
  EXPECT_NEAR(rows / n, 0.0, 5.0 * std::sqrt(1.0 / n));
  for (int k = 1; k < 5; ++k) {
    const double probability = std::erfc(k / std::numbers::sqrt2);
    EXPECT_NEAR(beyond[k] / n, probability, 5.0 * std::sqrt(probability * (1.0 - probability) / n)) << k << " sigma";
  }
}

}  // namespace
}  // namespace tweedie
