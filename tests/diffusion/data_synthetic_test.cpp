#include <algorithm>
#include <cmath>

#include "diffusion/data/synthetic.h"
#include "tests/diffusion/data_support.h"

namespace tweedie::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

TEST(Points, AreThoseOfTheFigure) {
  const ImageSet polygon = load_data({.name = "points:polygon"});
  EXPECT_EQ(polygon.shape(), Shape({6, 1, 1, 2}));
  for (std::size_t m = 0; m < 6; ++m) {
    // The six values of cos and sin at multiples of 60 degrees, rounded to float32 from double.
    constexpr double cosine[] = {1, 0.5, -0.5, -1, -0.5, 0.5}, half_root3 = 0.86602540378443865;
    constexpr double sine[] = {0, half_root3, half_root3, 0, -half_root3, -half_root3};
    EXPECT_NEAR(polygon.floats()[2 * m], cosine[m], 6e-8);
    EXPECT_NEAR(polygon.floats()[2 * m + 1], sine[m], 6e-8);
  }
  EXPECT_THAT(load_data({.name = "points:line"}).floats(),
              ElementsAre(-1, -1, -0.6f, -0.6f, -0.2f, -0.2f, 0.2f, 0.2f, 0.6f, 0.6f, 1, 1));
  EXPECT_THAT(load_data({.name = "points:blend"}).floats(), ElementsAre(-1, -1, -1, 0, -1, 1, 0, -1, 0.5f, -1, 1, -1));
  EXPECT_THAT(load_data({.name = "points:random"}).floats(),
              ElementsAre(-1, -1, -0.9f, 1, -0.3f, 0.2f, 0.1f, -0.1f, 0.2f, -0.1f, 0.9f, 0.7f));
  EXPECT_THAT(message_of([] { load_data({.name = "points:star"}); }), HasSubstr("polygon, line, blend or random"));
  EXPECT_THROW(load_data({.name = "points:line", .split = Split::test}), UsageError);
  EXPECT_THROW(load_data({.name = "points:line", .resolution = 8}), UsageError);
}

TEST(Gaussian, HasUnitCovarianceAndSamplesOfTheirOwn) {
  const ImageSet set = load_data({.name = "gaussian:3", .split = Split::test});
  EXPECT_EQ(set.shape(), Shape({10000, 1, 1, 3}));
  for (std::size_t a = 0; a < 3; ++a) {
    double mean = 0;
    for (std::size_t i = 0; i < 10000; ++i) mean += set.floats()[3 * i + a] / 10000.0;
    EXPECT_NEAR(mean, 0, 0.05);  // five standard errors of 1 / sqrt(10,000)
    for (std::size_t b = 0; b <= a; ++b) {
      double product = 0;
      for (std::size_t i = 0; i < 10000; ++i)
        product += static_cast<double>(set.floats()[3 * i + a]) * set.floats()[3 * i + b] / 10000;
      EXPECT_NEAR(product, a == b ? 1 : 0, a == b ? 0.071 : 0.05);
    }
  }
  const ImageSet some = load_data({.name = "gaussian:3", .split = Split::test, .subset = 4, .subset_seed = 1});
  EXPECT_EQ(some.to_float(), set.selected(some.source_indices).to_float());
  const ImageSet train = load_data({.name = "gaussian:3", .subset = 1, .subset_seed = 1});
  std::vector<float> same_index(3), mine(3);
  set.copy_float(train.source_indices[0] % 10000, same_index);
  train.copy_float(0, mine);
  EXPECT_NE(mine, same_index);
}

TEST(Mixture, SamplesFollowTheStatedParameters) {
  const MixtureParameters mixture = parse_mixture("4,2,3,0.5");
  EXPECT_EQ(mixture.components, 4);
  EXPECT_EQ(mixture.dimension, 2);
  const ImageSet set = load_data({.name = "mixture:4,2,3,0.5", .split = Split::test});
  EXPECT_EQ(set.classes, 4);
  for (std::int64_t k = 0; k < 4; ++k) {
    double count = 0, sum[2] = {}, squares = 0;
    for (std::size_t i = 0; i < 10000; ++i) {
      if (set.labels[i] != k) continue;
      ++count;
      for (std::size_t a = 0; a < 2; ++a) {
        const double offset = set.floats()[2 * i + a] - mixture.means[static_cast<std::size_t>(2 * k) + a];
        sum[a] += offset;
        squares += offset * offset;
      }
    }
    EXPECT_NEAR(count, 2500, 217);  // five standard deviations of the binomial
    EXPECT_NEAR(sum[0] / count, 0, 0.05);
    EXPECT_NEAR(sum[1] / count, 0, 0.05);
    EXPECT_NEAR(squares / (2 * count), 0.25, 0.025);
  }
  EXPECT_EQ(parse_mixture("1,1").deviation, 0.25);
  for (const char* bad :
       {"", "3", "3,", "0,2", "2.5,2", "2,2,1,0", "2,2,-1", "2,2,1,1,1", "2,2,1,1,", "2,x", "1e6,1e6", "nan,2"})
    EXPECT_THROW(parse_mixture(bad), UsageError) << bad;
}

TEST(Shapes, AreDrawnWithTheirFactors) {
  const ImageSet set = load_data({.name = "shapes", .subset = 300, .subset_seed = 4});
  EXPECT_EQ(set.shape(), Shape({300, 32, 32, 1}));
  const double areas[] = {M_PI, 2, 3 * std::sqrt(3) / 4};  // of circumscribed radius 1
  for (std::size_t i = 0; i < 300; ++i) {
    const ShapeFactors factors = shape_factors(set.source_indices[i], Split::train);
    EXPECT_EQ(set.labels[i], factors.kind);
    double mass = 0, x = 0, y = 0;
    for (std::size_t pixel = 0; pixel < 1024; ++pixel) {
      const double value = set.bytes()[i * 1024 + pixel] / 255.0 / factors.intensity[0];
      mass += value / 1024;
      x += value / 1024 * (static_cast<double>(pixel % 32) + 0.5) / 32;
      y += value / 1024 * (static_cast<double>(pixel / 32) + 0.5) / 32;
    }
    // The covered share is counted on a grid of 128 x 128 points: its error is a fraction of a point along the edge,
    // at most 2 pi radius 128 points, of random sign.
    EXPECT_NEAR(mass, areas[factors.kind] * factors.radius * factors.radius, 0.03 * mass) << i;
    EXPECT_NEAR(x / mass, factors.x, 0.004) << i;
    EXPECT_NEAR(y / mass, factors.y, 0.004) << i;
  }
  EXPECT_EQ(load_data({.name = "shapes:rgb", .resolution = 8, .subset = 2}).shape(), Shape({2, 8, 8, 3}));
  EXPECT_EQ(load_data({.name = "shapes", .classes = {1}, .subset = 3}).count, 3);
  EXPECT_THROW(load_data({.name = "shapesx"}), UsageError);
}

}  // namespace
}  // namespace tweedie::data
