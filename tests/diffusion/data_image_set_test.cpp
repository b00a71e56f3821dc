#include <algorithm>
#include <map>
#include <set>

#include "tests/diffusion/data_support.h"

namespace tweedie::data {
namespace {

using ::testing::AllOf;
using testing::byte_images;
using ::testing::HasSubstr;
using testing::message_of;

std::vector<std::int64_t> beginning(const std::vector<std::int64_t>& values, std::int64_t size) {
  return {values.begin(), values.begin() + size};
}

TEST(ImageSet, BytesBecomeFloatsFromMinusOneToOne) {
  const ImageSet set =
      make_image_set("x", Split::train, {1, 1, 3, 1}, DType::uint8, {std::byte{0}, std::byte{255}, std::byte{51}});
  EXPECT_THAT(set.to_float(), ::testing::ElementsAre(-1.0f, 1.0f, 51 / 127.5f - 1.0f));
  const std::vector<float> values = {0.5f, -3.0f};
  EXPECT_EQ(make_image_set("x", Split::train, {2, 1, 1, 1}, values).to_float(), values);
}

TEST(ImageSet, SubsetIsDeterministicNestedWithoutRepeats) {
  const ImageSet set = byte_images(200, 4, 1);
  const ImageSet small = set.subset(50, 3), large = set.subset(120, 3);
  EXPECT_EQ(small.source_indices, set.subset(50, 3).source_indices);
  EXPECT_NE(small.source_indices, set.subset(50, 4).source_indices);
  EXPECT_EQ(beginning(large.source_indices, 50), small.source_indices);
  EXPECT_EQ(std::set(large.source_indices.begin(), large.source_indices.end()).size(), 120u);
  for (std::int64_t i = 0; i < 50; ++i) {
    std::vector<float> mine(16), theirs(16);
    small.copy_float(i, mine);
    set.copy_float(small.source_indices[static_cast<std::size_t>(i)], theirs);
    EXPECT_EQ(mine, theirs);
  }
  // A subset of a subset still traces to the whole.
  EXPECT_EQ(small.subset(1, 9).source_indices.size(), 1u);
  EXPECT_TRUE(
      std::count(small.source_indices.begin(), small.source_indices.end(), small.subset(1, 9).source_indices[0]));
  EXPECT_EQ(set.subset(200, 1).count, 200);
}

TEST(ImageSet, EveryImageIsEquallyLikelyInASubset) {
  const ImageSet set = byte_images(10, 1, 1);
  std::map<std::int64_t, int> hits;
  constexpr int trials = 4000, size = 3;
  for (std::uint64_t seed = 0; seed < trials; ++seed)
    for (std::int64_t index : set.subset(size, seed).source_indices) ++hits[index];
  // Binomial(4000, 0.3): mean 1200, standard deviation 29; five of them.
  for (std::int64_t i = 0; i < 10; ++i) EXPECT_NEAR(hits[i], 1200, 145) << i;
}

TEST(ImageSet, BalancedSubsetTakesEachClassAlike) {
  const ImageSet set = byte_images(95, 2, 1, 10);  // classes 0-4 have ten images, 5-9 nine
  std::map<std::int64_t, int> held;
  for (std::int64_t label : set.balanced_subset(34, 5).labels) ++held[label];
  for (std::int64_t label = 0; label < 10; ++label) {
    EXPECT_GE(held[label], 3);
    EXPECT_LE(held[label], 4);
  }
  EXPECT_EQ(set.balanced_subset(95, 5).count, 95);
  EXPECT_EQ(beginning(set.balanced_subset(60, 5).source_indices, 34), set.balanced_subset(34, 5).source_indices);
}

TEST(ImageSet, SupersetHoldsTheSubsetAndStaysBalanced) {
  const ImageSet set = byte_images(400, 2, 1, 4);
  const ImageSet part = set.subset(20, 1);
  const ImageSet twice = set.superset(part, 2.0, 7), more = set.superset(part, 12.5, 7);
  EXPECT_EQ(twice.count, 40);
  EXPECT_EQ(more.count, 250);
  EXPECT_EQ(beginning(twice.source_indices, 20), part.source_indices);
  EXPECT_EQ(beginning(more.source_indices, 40), twice.source_indices);
  EXPECT_EQ(std::set(more.source_indices.begin(), more.source_indices.end()).size(), 250u);
  std::map<std::int64_t, int> held;
  for (std::int64_t label : more.labels) ++held[label];
  for (std::int64_t label = 0; label < 4; ++label) EXPECT_NEAR(held[label], 62.5, 0.5);
  EXPECT_EQ(set.superset(part, 1.0, 7).source_indices, part.source_indices);
  EXPECT_EQ(set.superset(part, 20.0, 7).count, 400);
  EXPECT_EQ(byte_images(30, 2, 1).superset(byte_images(30, 2, 1).subset(3, 0), 3.0, 1).count, 9);
}

TEST(ImageSet, ImpossibleSelectionsSaySo) {
  const ImageSet set = byte_images(20, 2, 1, 4);
  EXPECT_THROW(set.subset(21, 0), UsageError);
  EXPECT_THAT(message_of([&] { set.subset(21, 0); }), AllOf(HasSubstr("21 images asked for"), HasSubstr("has 20")));
  EXPECT_THROW(set.subset(0, 0), UsageError);
  EXPECT_THROW(set.superset(set.subset(5, 0), 5.0, 0), UsageError);
  EXPECT_THROW(set.superset(set.subset(5, 0), 0.5, 0), UsageError);
  EXPECT_THAT(message_of([&] { set.with_classes({{4}}); }), HasSubstr("classes are 0 to 3"));
  EXPECT_THAT(message_of([&] { set.subset(10, 0).superset(set.subset(10, 1), 1.0, 0); }), HasSubstr("does not"));
  EXPECT_THAT(message_of([&] { byte_images(20, 2, 1).balanced_subset(2, 0); }), HasSubstr("no labels"));
  EXPECT_THAT(message_of([&] { set.floats(); }), AllOf(HasSubstr("uint8"), HasSubstr("float32")));
}

TEST(ImageSet, ClassesKeepTheirLabels) {
  const ImageSet set = byte_images(20, 2, 1, 4).with_classes({{1, 3}});
  EXPECT_EQ(set.count, 10);
  EXPECT_EQ(set.classes, 4);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(set.labels[i], set.source_indices[i] % 4);
}

TEST(ImageSet, BadPixelsAndLabelsAreErrors) {
  const std::vector<float> values = {0, 1, NAN, 2};
  EXPECT_THAT(message_of([&] {
                make_image_set("x.npy", Split::train, {2, 1, 2, 1}, values);
              }),
              AllOf(HasSubstr("x.npy"), HasSubstr("image 1 holds nan")));
  EXPECT_THAT(message_of([&] {
                make_image_set("x", Split::train, {0, 2, 2, 1}, std::vector<float>{});
              }),
              HasSubstr("no images"));
  EXPECT_THAT(message_of([&] {
                make_image_set("x", Split::train, {1, 1, 1, 1}, std::vector<float>{0}, {3}, 3);
              }),
              HasSubstr("label 3 of image 0"));
}

// The mean over each new pixel's area, straight from its definition on a grid fine enough to hold both grids.
std::vector<double> area_means(const std::vector<double>& image, std::int64_t side, std::int64_t to,
                               std::int64_t channels) {
  std::vector<double> out(static_cast<std::size_t>(to * to * channels));
  for (std::int64_t y = 0; y < side * to; ++y)
    for (std::int64_t x = 0; x < side * to; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        out[static_cast<std::size_t>(((y / side) * to + x / side) * channels + c)] +=
            image[static_cast<std::size_t>(((y / to) * side + x / to) * channels + c)] /
            static_cast<double>(side * side);
  return out;
}

TEST(Resize, IsTheMeanOverTheArea) {
  for (const auto& [side, to, channels] : {std::tuple{8, 4, 1}, {6, 4, 3}, {5, 7, 1}, {28, 14, 1}, {9, 1, 3}}) {
    SCOPED_TRACE(fmt::format("{} -> {}, {} channels", side, to, channels));
    const ImageSet set = byte_images(3, side, channels), small = set.resized(to);
    EXPECT_EQ(small.shape(), Shape({3, to, to, channels}));
    EXPECT_EQ(small.source_indices, set.source_indices);
    for (std::int64_t i = 0; i < 3; ++i) {
      std::vector<double> image;
      for (std::int64_t k = 0; k < set.dimension(); ++k)
        image.push_back(set.bytes()[static_cast<std::size_t>(i * set.dimension() + k)]);
      const std::vector<double> means = area_means(image, side, to, channels);
      for (std::size_t k = 0; k < means.size(); ++k) {
        // Values up to 1 in float32: half a unit in the last place is 6e-8.
        EXPECT_NEAR(small.floats()[static_cast<std::size_t>(i) * means.size() + k], means[k] / 127.5 - 1.0, 1.2e-7);
      }
    }
  }
}

TEST(Resize, TwentyEightIsPaddedForPowersOfTwo) {
  const ImageSet set = byte_images(2, 28, 1);
  const ImageSet padded = set.resized(32);
  EXPECT_EQ(padded.dtype, DType::uint8);
  for (std::int64_t y = 0; y < 32; ++y)
    for (std::int64_t x = 0; x < 32; ++x) {
      const bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
      const int expected = inside ? set.bytes()[static_cast<std::size_t>(784 + (y - 2) * 28 + x - 2)] : 0;
      ASSERT_EQ(padded.bytes()[static_cast<std::size_t>(1024 + y * 32 + x)], expected) << y << " " << x;
    }
  // Averaging after padding equals averaging the padded set, from bytes and from floats.
  const ImageSet as_floats = make_image_set("x", Split::train, set.shape(), set.to_float());
  const std::vector<float> direct = set.resized(8).to_float(), by_steps = padded.resized(8).to_float(),
                           of_floats = as_floats.resized(8).to_float();
  EXPECT_EQ(direct, by_steps);
  for (std::size_t k = 0; k < direct.size(); ++k) EXPECT_NEAR(direct[k], of_floats[k], 1.2e-7);
  EXPECT_EQ(as_floats.resized(32).to_float(), padded.to_float());
}

TEST(Resize, RefusesWhatIsNotSquare) {
  const ImageSet flat = make_image_set("x", Split::train, {1, 2, 3, 1}, std::vector<float>(6));
  EXPECT_THAT(message_of([&] { flat.resized(4); }), HasSubstr("2 x 3"));
  EXPECT_THROW(flat.resized(0), UsageError);
}

}  // namespace
}  // namespace tweedie::data
