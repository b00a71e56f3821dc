#include <cstring>
#include <set>

#include "diffusion/data/idx.h"
#include "kernels/runtime/random.h"
#include "tests/diffusion/data_support.h"

namespace tweedie::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::fixture;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

io::Bytes idx_file(std::string_view header, std::size_t data_bytes) {
  std::string text(header);
  text.append(data_bytes, 'x');
  const io::ByteView view = io::bytes_of(text);
  return {view.begin(), view.end()};
}

TEST(Idx, WrongFilesAreErrors) {
  const auto message = [](std::string_view header, std::size_t bytes) {
    return message_of([&] { parse_idx(idx_file(header, bytes), "a.idx"); });
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(parse_idx(idx_file("\0\0\x08\x01\0\0\0\x03"sv, 3), "a.idx").shape, Shape({3}));
  EXPECT_THAT(message("\0\0\x08\x01\0\0\0\x03"sv, 2),
              AllOf(HasSubstr("a.idx"), HasSubstr("truncated"), HasSubstr("3 bytes from byte 8")));
  EXPECT_THAT(message("\0\0\x08\x01\0\0\0\x03"sv, 4), HasSubstr("longer"));
  EXPECT_THAT(message("\0\0\x0d\x01\0\0\0\x03"sv, 12), HasSubstr("IDX type 0x0d"));
  EXPECT_THAT(message("\x89PNG"sv, 12), HasSubstr("not an IDX file"));
  EXPECT_THAT(message("\0\0\x08\x03\0\0\0\x03"sv, 0), HasSubstr("truncated in its header"));
  EXPECT_THAT(message("\0\0\x08\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv, 0),
              HasSubstr("overflows"));
}

TEST(Load, IdxPairGzippedOrNot) {
  const std::string images = fixture("images-idx3-ubyte").string(), labels = fixture("labels-idx1-ubyte.gz").string();
  const ImageSet set = load_data({.name = "idx:" + images + "," + labels});
  EXPECT_EQ(set.shape(), Shape({3, 4, 5, 1}));
  EXPECT_THAT(set.labels, ElementsAre(2, 0, 9));
  EXPECT_EQ(set.classes, 10);
  for (std::int64_t k = 0; k < 60; ++k)
    EXPECT_EQ(set.bytes()[static_cast<std::size_t>(k)], io::testing::fixture_value(k));
  EXPECT_TRUE(load_data({.name = "idx:" + images}).labels.empty());
  EXPECT_EQ(load_data({.name = "idx:" + images, .subset = 1}).count, 1);
  EXPECT_THAT(message_of([&] { load_data({.name = "idx:" + labels}); }), HasSubstr("expected (N, H, W) images"));
  EXPECT_THAT(message_of([&] { load_data({.name = "idx:" + images + "," + images}); }),
              HasSubstr("expected (N) labels"));
  EXPECT_THROW(load_data({.name = "idx:" + images, .split = Split::test}), UsageError);
}

TEST(Load, FashionMnist) {
  const ImageSet train = load_data({});
  EXPECT_EQ(train.shape(), Shape({60000, 28, 28, 1}));
  EXPECT_EQ(train.dtype, DType::uint8);
  EXPECT_EQ(train.classes, 10);
  EXPECT_EQ(train.labels[0], 9);  // the first training image is an ankle boot
  // 6,000 images a class, and the mean pixel that the data set's users quote, 0.2860 of full scale.
  EXPECT_EQ(std::count(train.labels.begin(), train.labels.end(), 3), 6000);
  double sum = 0;
  for (std::uint8_t value : train.bytes()) sum += value;
  EXPECT_NEAR(sum / (255.0 * 60000 * 784), 0.2860, 5e-5);
  const ImageSet test = load_data({.split = Split::test, .resolution = 16, .classes = {2}, .subset = 7});
  EXPECT_EQ(test.shape(), Shape({7, 16, 16, 1}));
  EXPECT_THAT(test.labels, ::testing::Each(2));
}

TEST(Load, FashionMnistMissingNamesThePackage) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { load_data({.folder = folder.path()}); }),
              AllOf(HasSubstr("dataset-fashion-mnist"), HasSubstr("train-images-idx3-ubyte.gz"),
                    HasSubstr(folder.path().string())));
}

TEST(Load, FashionMnistTruncatedNamesFileAndByte) {
  const TemporaryFolder folder;
  const io::Bytes whole = io::read_file("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz");
  io::write_file_atomic(folder / "t10k-images-idx3-ubyte.gz", io::ByteView(whole).first(100000));
  EXPECT_THAT(message_of([&] { load_data({.split = Split::test, .folder = folder.path()}); }),
              AllOf(HasSubstr("t10k-images-idx3-ubyte.gz"), HasSubstr("byte 100000"), HasSubstr("truncated")));
}

TEST(Load, SubsetSelectsWithinTheClasses) {
  const DataRequest request{
      .split = Split::test, .classes = {1, 7}, .subset = 20, .subset_seed = 5, .class_balanced = true};
  const ImageSet set = load_data(request);
  EXPECT_EQ(std::count(set.labels.begin(), set.labels.end(), 1), 10);
  EXPECT_EQ(std::count(set.labels.begin(), set.labels.end(), 7), 10);
  const ImageSet whole = load_data({.split = Split::test});
  for (std::size_t i = 0; i < 20; ++i)
    EXPECT_EQ(whole.labels[static_cast<std::size_t>(set.source_indices[i])], set.labels[i]);
  EXPECT_THROW(load_data({.split = Split::test, .classes = {1}, .subset = 1001}), UsageError);
  EXPECT_THROW(load_data({.split = Split::test, .classes = {10}}), UsageError);
  EXPECT_THROW(load_data({.split = Split::test, .subset = -1}), UsageError);
  EXPECT_THROW(load_data({.split = Split::test, .resolution = -4}), UsageError);
}

TEST(Load, SubsetOfTheRequestIsTheSubsetOfTheSet) {
  const ImageSet whole = load_data({.split = Split::test});
  const ImageSet set = load_data({.split = Split::test, .subset = 30, .subset_seed = 11});
  EXPECT_EQ(set.source_indices, whole.subset(30, 11).source_indices);
  EXPECT_EQ(load_data({.split = Split::test, .subset = 30, .subset_seed = 11, .class_balanced = true}).source_indices,
            whole.balanced_subset(30, 11).source_indices);
  EXPECT_EQ(whole.superset(set, 2, 1).count, 60);
}

TEST(Load, UnknownNamesListTheKnown) {
  EXPECT_THROW(load_data({.name = "imagenet"}), UsageError);
  EXPECT_THAT(message_of([] { load_data({.name = "imagenet"}); }),
              AllOf(HasSubstr("'imagenet'"), HasSubstr("mosaic:K")));
  EXPECT_THAT(message_of([] { load_data({.name = "mosaic:x"}); }), HasSubstr("'x' must be a whole number"));
}

TEST(Mosaic, TilesAreMeanPooledImagesOfTheSameSplit) {
  for (const Split split : {Split::train, Split::test}) {
    const ImageSet set = load_data({.name = "mosaic:4", .split = split, .subset = 5, .subset_seed = 2});
    const ImageSet images = load_data({.split = split});
    EXPECT_EQ(set.shape(), Shape({5, 16, 16, 1}));
    for (std::size_t i = 0; i < 5; ++i)
      for (int place = 0; place < 16; ++place) {
        const std::int64_t source = uniform_integer(
            {.seed = 0, .purpose = Purpose::mosaic, .step = split == Split::train ? 0u : 1u},
            static_cast<std::uint32_t>(set.source_indices[i]), images.count, static_cast<std::uint32_t>(place));
        for (int y = 0; y < 4; ++y)
          for (int x = 0; x < 4; ++x) {
            double sum = 0;  // over the 8 x 8 pixels of the image padded by two
            for (int row = 8 * y - 2; row < 8 * y + 6; ++row)
              for (int col = 8 * x - 2; col < 8 * x + 6; ++col)
                if (row >= 0 && row < 28 && col >= 0 && col < 28)
                  sum += images.bytes()[static_cast<std::size_t>(source * 784 + row * 28 + col)];
            const std::size_t at = i * 256 + static_cast<std::size_t>(((place / 4) * 4 + y) * 16 + (place % 4) * 4 + x);
            ASSERT_NEAR(set.floats()[at], sum / 64 / 127.5 - 1, 1.2e-7);
          }
      }
  }
}

TEST(Mosaic, EachIsTheSameWhateverElseIsMade) {
  const ImageSet whole = load_data({.name = "mosaic:2", .split = Split::test});
  EXPECT_EQ(whole.shape(), Shape({10000, 16, 16, 1}));
  const ImageSet some = load_data({.name = "mosaic:2", .split = Split::test, .subset = 3, .subset_seed = 8});
  EXPECT_EQ(some.to_float(), whole.selected(some.source_indices).to_float());
  EXPECT_EQ(whole.superset(some, 4.0, 1).count, 12);
  EXPECT_EQ(load_data({.name = "mosaic:4", .resolution = 32, .subset = 2}).shape(), Shape({2, 32, 32, 1}));
  EXPECT_THAT(message_of([] { load_data({.name = "mosaic:3"}); }), HasSubstr("multiple of 3"));
}

// The mosaics of FEASIBILITY's table: the total variance per pixel of the 4 x 4 mosaics is .108 there.
TEST(Mosaic, TotalVarianceIsThatOfThePrototype) {
  const ImageSet set = load_data({.name = "mosaic:4", .subset = 4000});
  const std::vector<float> values = set.to_float();
  double total = 0;
  for (std::size_t k = 0; k < 256; ++k) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < 4000; ++i) {
      const double value = values[i * 256 + k];
      sum += value;
      squares += value * value;
    }
    total += squares / 4000 - (sum / 4000) * (sum / 4000);
  }
  EXPECT_NEAR(total / 256, 0.108, 0.003);
}

TEST(Cifar, ReadsPlanesAsChannelsAndChecksTheSize) {
  const TemporaryFolder folder;
  std::string test_batch(30730000, '\0');
  for (std::size_t i = 0; i < 10000; ++i) {
    test_batch[i * 3073] = static_cast<char>(i % 10);
    for (std::size_t c = 0; c < 3; ++c) test_batch[i * 3073 + 1 + c * 1024 + 33] = static_cast<char>(10 * c + i % 7);
  }
  io::write_file_atomic(folder / "test_batch.bin", test_batch);
  const ImageSet set = load_data({.name = "cifar10:" + folder.path().string(), .split = Split::test});
  EXPECT_EQ(set.shape(), Shape({10000, 32, 32, 3}));
  EXPECT_EQ(set.labels[13], 3);
  EXPECT_EQ(set.classes, 10);
  for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(set.bytes()[13 * 3072 + 33 * 3 + c], 10 * c + 6);
  EXPECT_EQ(set.bytes()[13 * 3072 + 34 * 3], 0);
  io::write_file_atomic(folder / "test_batch.bin", std::string_view(test_batch).substr(1));
  EXPECT_THAT(message_of([&] { load_data({.name = "cifar10:" + folder.path().string(), .split = Split::test}); }),
              AllOf(HasSubstr("test_batch.bin"), HasSubstr("30729999 bytes"), HasSubstr("expected 30730000")));
  EXPECT_THAT(message_of([&] { load_data({.name = "cifar10:" + folder.path().string()}); }),
              HasSubstr("data_batch_1.bin"));
  // CIFAR-100 records begin with the coarse label, which is not the one used.
  std::string hundred(30740000, '\0');
  hundred[0] = 7;
  hundred[1] = 99;
  hundred[2] = 50;
  io::write_file_atomic(folder / "test.bin", hundred);
  const ImageSet fine =
      load_data({.name = "cifar100:" + folder.path().string(), .split = Split::test, .subset = 10000});
  EXPECT_EQ(fine.classes, 100);
  const auto first = std::find(fine.source_indices.begin(), fine.source_indices.end(), 0) - fine.source_indices.begin();
  EXPECT_EQ(fine.labels[static_cast<std::size_t>(first)], 99);
  EXPECT_EQ(fine.bytes()[static_cast<std::size_t>(first) * 3072], 50);
}

}  // namespace
}  // namespace tweedie::data
