#include "diffusion/empirical_score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "diffusion/data/load.h"
#include "kernels/runtime/random.h"

namespace tweedie {
namespace {

constexpr Device reference{DeviceKind::reference, 0};

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += (double{a[j]} - double{b[j]}) * (double{a[j]} - double{b[j]});
  return std::sqrt(sum);
}

double norm(std::span<const float> a) {
  return distance(a, std::vector<float>(a.size()));
}

/// Points to ask about, of kinds that are hard in different ways.
struct Points {
  const data::ImageSet& train;
  const data::ImageSet& held_out;
  std::vector<float> z;
  std::vector<float> alpha, sigma;

  enum Kind { noised_training, noised_held_out, pure_noise, near_tie, training_image, noised_mid_point, kinds };
  void add(int kind, std::uint32_t index, float a, float s) {
    const auto d = static_cast<std::size_t>(train.dimension());
    const RandomKey key{.seed = 21, .step = static_cast<std::uint32_t>(kind)};
    std::vector<float> first(d), second(d);
    const auto draw = [&](const data::ImageSet& set, std::uint32_t position, std::vector<float>& image) {
      set.copy_float(uniform_integer(key, index, set.count, position), image);
    };
    draw(kind == noised_held_out ? held_out : train, 4, first);
    draw(train, 8, second);
    const RandomKey noise_key{.seed = 22, .purpose = Purpose::noise, .step = static_cast<std::uint32_t>(kind)};
    for (std::size_t j = 0; j < d; ++j) {
      const double e = normal(noise_key, index, static_cast<std::uint32_t>(j));
      const double middle = 0.5 * (static_cast<double>(first[j]) + static_cast<double>(second[j]));
      const double values[kinds] = {a * first[j] + s * e, a * first[j] + s * e, e,
                                    a * middle,           a * first[j],         a * middle + s * e};
      z.push_back(static_cast<float>(values[kind]));
    }
    alpha.push_back(a);
    sigma.push_back(s);
  }
};

void expect_agreement(const Points& points) {
  const EmpiricalResult got = EmpiricalScore(points.train).evaluate(points.z, points.alpha, points.sigma);
  const EmpiricalResult expected =
      EmpiricalScore(points.train, reference).evaluate(points.z, points.alpha, points.sigma);
  EXPECT_EQ(got.nearest, expected.nearest);
  const auto d = static_cast<std::size_t>(points.train.dimension());
  for (std::size_t b = 0; b < points.alpha.size(); ++b) {
    const double s = double{points.sigma[b]};
    SCOPED_TRACE(fmt::format("point {}: alpha {}, sigma {}", b, points.alpha[b], s));
    const auto row = [&](const std::vector<float>& values) { return std::span(values).subspan(b * d, d); };
    EXPECT_LE(distance(row(got.x0), row(expected.x0)), 1e-5 * norm(row(expected.x0)));
    // Where alpha x0 and z nearly cancel, the reference's own sums leave rounding errors of 1e-14 of |x0|.
    EXPECT_LE(distance(row(got.score), row(expected.score)),
              2e-5 * norm(row(expected.score)) + 1e-14 * norm(row(expected.x0)) / (s * s));
    EXPECT_NEAR(got.nearest_distance[b], expected.nearest_distance[b], 1e-6);
    EXPECT_NEAR(got.entropy[b], expected.entropy[b], 1e-4);
    EXPECT_NEAR(got.effective_count[b], expected.effective_count[b], 1e-4 * expected.effective_count[b]);
    EXPECT_NEAR(got.trace_cov[b], expected.trace_cov[b], std::max(1e-3 * expected.trace_cov[b], 1e-9 / (s * s)));
    EXPECT_NEAR(got.r_star[b], expected.r_star[b], 1e-5);
  }
}

TEST(EmpiricalScore, EqualsDoubleOnAllOfFashionMnist) {
  const data::ImageSet train = data::load_data({}), held_out = data::load_data({.split = data::Split::test});
  ASSERT_EQ(train.count, 60000);
  Points points{train, held_out, {}, {}, {}};
  std::uint32_t index = 0;
  for (const float sigma : {1e-3f, 0.05f, 0.3f, 1.0f, 1.5f, 2.5f, 5.0f, 20.0f, 100.0f})
    for (int i = 0; i < 4; ++i, ++index)
      points.add(static_cast<int>(index % Points::kinds), index, index % 3 == 2 ? 0.4f : 1.0f, sigma);
  expect_agreement(points);
}

class EmpiricalScoreSweep : public testing::TestWithParam<float> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EmpiricalScoreSweep);  // without the exhaustive cases

TEST_P(EmpiricalScoreSweep, EqualsDoubleOnAllOfFashionMnist) {
  const data::ImageSet train = data::load_data({}), held_out = data::load_data({.split = data::Split::test});
  Points points{train, held_out, {}, {}, {}};
  for (int kind = 0; kind < Points::kinds; ++kind)
    for (std::uint32_t index = 0; index < 3; ++index) points.add(kind, index, index == 2 ? 0.2f : 1.0f, GetParam());
  expect_agreement(points);
}

// Listed only on demand: ctest -C exhaustive -L exhaustive.
INSTANTIATE_TEST_SUITE_P(Exhaustive, EmpiricalScoreSweep,
                         testing::ValuesIn(std::getenv("TWEEDIE_EXHAUSTIVE") != nullptr
                                               ? std::vector<float>{1e-3f, 3e-3f, 0.01f, 0.03f, 0.05f, 0.1f,  0.2f,
                                                                    0.3f,  0.5f,  0.7f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                                    5.0f,  7.0f,  10.0f, 20.0f, 50.0f, 100.0f}
                                               : std::vector<float>{}));

data::ImageSet small_set() {
  std::vector<float> pixels;
  for (std::int64_t i = 0; i < 30 * 12; ++i) pixels.push_back(normal({.seed = 5}, 0, static_cast<std::uint32_t>(i)));
  return data::make_image_set("normals", data::Split::train, {30, 2, 2, 3}, pixels);
}

TEST(EmpiricalScore, MirrorImagesAreTheFlippedSetItself) {
  const data::ImageSet images = small_set();
  std::vector<float> both = images.to_float();
  for (std::int64_t i = 0; i < 30; ++i)
    for (std::int64_t y = 0; y < 2; ++y)
      for (std::int64_t x = 0; x < 2; ++x)
        for (std::int64_t c = 0; c < 3; ++c) both.push_back(both[((i * 2 + y) * 2 + 1 - x) * 3 + c]);
  const data::ImageSet flipped = data::make_image_set("both", data::Split::train, {60, 2, 2, 3}, both);
  std::vector<float> z;
  for (std::int64_t j = 0; j < 5 * 12; ++j) z.push_back(normal({.seed = 6}, 0, static_cast<std::uint32_t>(j)));
  const std::vector<float> alpha(5, 0.8f), sigma = {0.01f, 0.2f, 0.5f, 1.0f, 10.0f};
  const EmpiricalResult a = EmpiricalScore(images, {}, true).evaluate(z, alpha, sigma);
  const EmpiricalResult b = EmpiricalScore(flipped).evaluate(z, alpha, sigma);
  EXPECT_EQ(a.neighbours, b.neighbours);
  EXPECT_LE(distance(a.x0, b.x0), 1e-7 * norm(b.x0));
  EXPECT_LE(distance(a.score, b.score), 1e-7 * norm(b.score));
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(a.trace_cov[i], b.trace_cov[i], 1e-12 * (1.0 + b.trace_cov[i]));
}

TEST(EmpiricalScore, WithoutThePosteriorTheNeighboursAreTheSame) {
  const data::ImageSet images = small_set();
  const EmpiricalScore score(images);
  const std::vector<float> z(24, 0.25f), alpha = {1.0f, 0.5f}, sigma = {1.0f, 1.0f};
  const EmpiricalResult all = score.evaluate(z, alpha, sigma, {.neighbours = 7, .labels = {}, .excluded = {}});
  const EmpiricalResult few =
      score.evaluate(z, alpha, sigma, {.neighbours = 7, .labels = {}, .excluded = {}, .posterior = false});
  EXPECT_EQ(all.neighbours, few.neighbours);
  EXPECT_EQ(all.neighbour_distances, few.neighbour_distances);
  EXPECT_TRUE(few.x0.empty() && few.score.empty() && few.entropy.empty() && few.r_star.empty());
}

TEST(EmpiricalScore, RefusesWhatDoesNotFit) {
  const EmpiricalScore score(small_set());
  const std::vector<float> z(12);
  const std::vector<float> one = {1.0f}, two = {1.0f, 1.0f};
  EXPECT_THROW(score.evaluate(std::span(z).first(11), one, one), Error);
  EXPECT_THROW(score.evaluate(z, two, one), Error);
  EXPECT_THROW(score.evaluate(z, one, two), Error);
  const std::vector<std::int64_t> label = {0};
  EXPECT_THROW(score.evaluate(z, one, one, {.labels = label, .excluded = {}}), Error);
}

}  // namespace
}  // namespace tweedie
