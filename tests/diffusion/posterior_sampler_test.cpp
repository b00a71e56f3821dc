#include "diffusion/posterior_sampler.h"

#include <gtest/gtest.h>

#include "tests/diffusion/intervention_support.h"

namespace tweedie {
namespace {

/// Draws at one point beside the posterior in double: chi-squared per degree of freedom over images expected five times
/// or more, and nothing drawn that has (almost) no weight.
void expect_posterior(const data::ImageSet& set, const std::vector<float>& z, double alpha, double sigma,
                      std::int64_t draws) {
  const auto d = static_cast<std::size_t>(set.dimension());
  const std::vector<float> x = set.to_float();
  std::vector<double> weights;
  double largest = -INFINITY, total = 0.0;
  for (std::size_t i = 0; i < x.size(); i += d) {
    double squares = 0.0;
    for (std::size_t j = 0; j < d; ++j) squares += std::pow(z[j] - alpha * x[i + j], 2);
    weights.push_back(-squares / (2.0 * sigma * sigma));
    largest = std::max(largest, weights.back());
  }
  for (double& w : weights) total += w = std::exp(w - largest);
  const PosteriorSampler sampler(set);
  const auto chosen =
      sampler.draw(z, std::vector{alpha}, std::vector{sigma}, std::vector<std::int64_t>{7}, draws, {.seed = 3});
  std::vector<double> counts(weights.size());
  for (const std::int64_t index : chosen) ++counts[static_cast<std::size_t>(index)];
  double chi_squared = 0.0;
  int cells = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = static_cast<double>(draws) * weights[i] / total;
    if (expected < 1e-6) {
      EXPECT_EQ(counts[i], 0.0) << i;
    }
    if (expected < 5.0) continue;
    chi_squared += std::pow(counts[i] - expected, 2) / expected;
    ++cells;
  }
  ASSERT_GE(cells, 2) << "the case must have a choice to make";
  const double degrees = cells - 1;
  EXPECT_LT(chi_squared, degrees + 5.0 * std::sqrt(2.0 * degrees));
}

TEST(PosteriorSampler, FrequenciesArePosteriorWeights) {
  const data::ImageSet set = plane_points();
  for (const double t : {0.2, 0.4, 0.7, 0.95}) expect_posterior(set, {0.3f, -0.2f}, 1.0 - t, t, 40000);
}

// Two images a thousandth apart at a level where a float32 product is wrong by many nats.
TEST(PosteriorSampler, NearDuplicatesAtSmallNoise) {
  constexpr std::int64_t d = 256;
  std::vector<float> values(3 * d);
  for (std::size_t j = 0; j < d; ++j) {
    values[j] = values[d + j] = normal({.seed = 4}, static_cast<std::uint32_t>(j));
    values[2 * d + j] = -values[j];
  }
  values[d + 5] += 0.001f;
  std::vector<float> z(values.begin(), values.begin() + d);
  z[5] += 0.0003f;
  expect_posterior(point_images(values, d), z, 1.0, 0.0007, 40000);
}

TEST(PosteriorSampler, DrawsAreNamedByKeyAndStreamAndSeeTheirLabel) {
  const data::ImageSet plain = plane_points();
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 12; ++i) labels.push_back(i % 2);
  const data::ImageSet set = point_images(plain.to_float(), 2, labels, 3);
  const PosteriorSampler sampler(set);
  const std::vector<float> z = {0, 0, 0, 0, 0, 0};
  const std::vector<double> a(3, 0.1), s(3, 0.9);
  const auto all =
      sampler.draw(z, a, s, std::vector<std::int64_t>{5, 6, 5}, 50, {.seed = 1}, std::vector<std::int64_t>{-1, 1, -1});
  EXPECT_TRUE(std::equal(all.begin(), all.begin() + 50, all.begin() + 100));
  EXPECT_FALSE(std::equal(all.begin(), all.begin() + 50, all.begin() + 50));
  for (std::size_t k = 50; k < 100; ++k) EXPECT_EQ(all[k] % 2, 1);
  const auto other = sampler.draw(std::span(z).first(2), std::span(a).first(1), std::span(s).first(1),
                                  std::vector<std::int64_t>{5}, 50, {.seed = 2});
  EXPECT_FALSE(std::equal(other.begin(), other.end(), all.begin()));
  EXPECT_THROW(sampler.draw(z, a, s, std::vector<std::int64_t>{5, 6, 5}, 1, {}, std::vector<std::int64_t>{2, 2, 2}),
               Error);
  EXPECT_THROW(sampler.draw(z, a, std::vector<double>(3, 0.0), std::vector<std::int64_t>{5, 6, 5}, 1, {}), Error);
}

}  // namespace
}  // namespace tweedie
