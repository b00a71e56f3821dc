#include "diffusion/data/png.h"
#include "nn/io/npz.h"
#include "tests/diffusion/data_support.h"

namespace tweedie::data {
namespace {

using io::testing::fixture_value;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::fixture;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

void expect_fixture_pixels(const Picture& picture) {
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    EXPECT_EQ(picture.pixels[i], fixture_value(static_cast<std::int64_t>(i))) << i;
}

TEST(Png, ReadsGreyRgbAndInterlaced) {
  const Picture grey = read_png(fixture("grey.png")), rgb = read_png(fixture("rgb.png"));
  const Picture interlaced = read_png(fixture("interlaced.png"));
  EXPECT_EQ(std::tuple(grey.height, grey.width, grey.channels), std::tuple(4, 5, 1));
  EXPECT_EQ(std::tuple(rgb.height, rgb.width, rgb.channels), std::tuple(4, 5, 3));
  EXPECT_EQ(std::tuple(interlaced.height, interlaced.width, interlaced.channels), std::tuple(11, 13, 1));
  expect_fixture_pixels(grey);
  expect_fixture_pixels(rgb);
  expect_fixture_pixels(interlaced);
}

TEST(Png, RoundTrip) {
  const TemporaryFolder folder;
  for (const std::int64_t channels : {1, 3}) {
    Picture picture{.height = 37, .width = 21, .channels = channels, .pixels = {}};
    for (std::int64_t i = 0; i < 37 * 21 * channels; ++i) picture.pixels.push_back(static_cast<std::uint8_t>(i * i));
    write_png(folder / "a.png", picture);
    EXPECT_EQ(read_png(folder / "a.png").pixels, picture.pixels);
  }
  EXPECT_THAT(
      message_of([] { encode_png({.height = 2, .width = 2, .channels = 2, .pixels = std::vector<std::uint8_t>(8)}); }),
      HasSubstr("2 channels"));
}

TEST(Png, OtherKindsAndDamageAreErrors) {
  const auto message = [](const char* name) { return message_of([&] { read_png(fixture(name)); }); };
  EXPECT_THAT(message("bad_alpha.png"),
              AllOf(HasSubstr("bad_alpha.png"), HasSubstr("colour type 6"), HasSubstr("expected 8-bit grey")));
  EXPECT_THAT(message("bad_palette.png"), HasSubstr("colour type 3"));
  EXPECT_THAT(message("bad_16bit.png"), HasSubstr("bit depth 16"));
  EXPECT_THAT(message("f4.npy"), HasSubstr("not a PNG file"));
  io::Bytes file = io::read_file(fixture("rgb.png"));
  for (std::size_t length = 0; length < file.size(); ++length)
    EXPECT_THROW(decode_png(io::ByteView(file).first(length), "cut.png"), Error) << length;
  EXPECT_THAT(message_of([&] { decode_png(io::ByteView(file).first(60), "cut.png"); }),
              AllOf(HasSubstr("cut.png"), HasSubstr("truncated")));
  io::Bytes huge = file;
  huge[17] = huge[21] = std::byte{0x0f};  // 983,045 x 983,044 pixels
  EXPECT_THAT(message_of([&] { decode_png(huge, "huge.png"); }), HasSubstr("cannot hold"));
  file[50] ^= std::byte{1};
  EXPECT_THAT(message_of([&] { decode_png(file, "flip.png"); }),
              AllOf(HasSubstr("flip.png"), HasSubstr("corrupt PNG near byte")));
}

TEST(ImageGrid, PlacesClampsAndScales) {
  const std::vector<float> images = {-1, 1, 0, -5, 5, 1, -1, 0.5f, 1, 1, 1, 1};  // three images of 2 x 2
  const Picture grid = image_grid(images, 2, 2, 1, {.columns = 2, .padding = 1, .scale = 1});
  EXPECT_EQ(grid.height, 7);
  EXPECT_EQ(grid.width, 7);
  const auto row = [&](std::size_t y) {
    return std::vector(grid.pixels.begin() + static_cast<std::ptrdiff_t>(7 * y),
                       grid.pixels.begin() + static_cast<std::ptrdiff_t>(7 * y + 7));
  };
  EXPECT_THAT(row(0), ::testing::Each(0));
  EXPECT_THAT(row(1), ElementsAre(0, 0, 255, 0, 255, 255, 0));
  EXPECT_THAT(row(2), ElementsAre(0, 128, 0, 0, 0, 191, 0));
  EXPECT_THAT(row(4), ElementsAre(0, 255, 255, 0, 0, 0, 0));
  const Picture scaled = image_grid(images, 2, 2, 3 - 2, {.columns = 3, .padding = 0, .scale = 3});
  EXPECT_EQ(scaled.height, 6);
  EXPECT_EQ(scaled.width, 18);
  EXPECT_EQ(scaled.pixels[3], 255);
  EXPECT_EQ(scaled.pixels[2], 0);
  EXPECT_EQ(image_grid(std::vector<float>(5 * 12), 2, 2, 3).width, 3 * 3 + 1);
  EXPECT_THAT(message_of([&] { image_grid(images, 2, 2, 2); }), HasSubstr("2 channels"));
  EXPECT_THAT(message_of([&] { image_grid(images, 5, 1, 1); }), HasSubstr("whole number of images"));
  EXPECT_THAT(message_of([&] { image_grid(std::vector<float>{NAN}, 1, 1, 1); }), HasSubstr("not a number"));
}

TEST(ArrayFile, ShapesAndTypes) {
  const TemporaryFolder folder;
  std::vector<float> values;
  for (int i = 0; i < 24; ++i) values.push_back(static_cast<float>(i) / 3);
  const std::string path = (folder / "x.npy").string();
  io::write_npy(path, values, {2, 3, 2, 2});
  const ImageSet planar = load_data({.name = path});
  EXPECT_EQ(planar.shape(), Shape({2, 2, 2, 3}));
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t pixel = 0; pixel < 4; ++pixel)
        EXPECT_EQ(planar.floats()[(i * 4 + pixel) * 3 + c], values[(i * 3 + c) * 4 + pixel]);
  io::write_npy(path, values, {4, 3, 2});
  EXPECT_EQ(load_data({.name = path}).shape(), Shape({4, 3, 2, 1}));
  io::write_npy(path, values, {1, 24});  // N = 1
  EXPECT_EQ(load_data({.name = path}).shape(), Shape({1, 1, 1, 24}));
  EXPECT_EQ(load_data({.name = path}).to_float(), values);
  io::write_npy(path, std::vector<double>{0.1, 0.2}, {2, 1});
  EXPECT_THAT(load_data({.name = path}).floats(), ElementsAre(0.1f, 0.2f));
  io::write_npy(path, std::vector<std::uint8_t>{0, 255}, {2, 1, 1, 1});
  EXPECT_THAT(load_data({.name = path}).to_float(), ElementsAre(-1.0f, 1.0f));
}

TEST(ArrayFile, NpzWithLabels) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x.npz").string();
  const std::vector<std::uint8_t> pixels = {1, 2, 3};
  const std::vector<std::int64_t> labels = {2, 0, 2};
  io::write_npz(path, {io::view_of("images", pixels, {3, 1, 1, 1}), io::view_of("labels", labels, {3})});
  const ImageSet set = load_data({.name = path, .classes = {2}});
  EXPECT_THAT(set.bytes(), ElementsAre(1, 3));
  EXPECT_EQ(set.classes, 3);
  EXPECT_THAT(set.source_indices, ElementsAre(0, 2));
  io::write_npz(path, {io::view_of("x", pixels, {3, 1})});
  EXPECT_EQ(load_data({.name = path}).count, 3);
  io::write_npz(path, {io::view_of("x", pixels, {3, 1}), io::view_of("y", pixels, {3, 1})});
  EXPECT_THAT(message_of([&] { load_data({.name = path}); }), HasSubstr("one named 'images'"));
  const std::vector<std::int64_t> negative = {0, -1, 2};
  io::write_npz(path, {io::view_of("images", pixels, {3, 1}), io::view_of("labels", negative, {3})});
  EXPECT_THAT(message_of([&] { load_data({.name = path}); }), HasSubstr("label -1 of image 1"));
}

TEST(ArrayFile, WrongContentsAreErrors) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x.npy").string();
  const auto message = [&] { return message_of([&] { load_data({.name = path}); }); };
  io::write_npy(path, std::vector<std::int64_t>{1, 2}, {2, 1});
  EXPECT_THAT(message(), AllOf(HasSubstr("x.npy"), HasSubstr("int64"), HasSubstr("expected uint8")));
  io::write_npy(path, std::vector<float>{1, 2}, {2});
  EXPECT_THAT(message(), HasSubstr("(N, C, H, W), (N, H, W) or (N, D)"));
  io::write_npy(path, std::vector<float>{1, INFINITY}, {2, 1});
  EXPECT_THAT(message(), HasSubstr("image 1 holds inf"));
  io::write_npy(path, std::vector<float>{}, {0, 4});
  EXPECT_THAT(message(), HasSubstr("holds no images"));
  EXPECT_THROW(load_data({.name = path, .split = Split::test}), UsageError);
  EXPECT_THAT(message_of([&] { load_data({.name = (folder / "none.npy").string()}); }), HasSubstr("No such file"));
}

TEST(PngFolder, FlatByClassAndBySplit) {
  const TemporaryFolder folder;
  const auto picture = [](std::uint8_t value, std::int64_t side = 2) {
    return Picture{.height = side,
                   .width = side,
                   .channels = 1,
                   .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(side * side), value)};
  };
  const auto folders = [&](const std::string& name) {
    std::filesystem::create_directories(folder / name);
    return (folder / name).string();
  };
  const std::string flat = folders("flat");
  write_png(folder / "flat/b.png", picture(20));
  write_png(folder / "flat/a.png", picture(10));
  io::write_file_atomic(folder / "flat/notes.txt", "not a picture");
  const ImageSet set = load_data({.name = flat});
  EXPECT_EQ(set.shape(), Shape({2, 2, 2, 1}));
  EXPECT_THAT(set.bytes(), ElementsAre(10, 10, 10, 10, 20, 20, 20, 20));
  EXPECT_THROW(load_data({.name = flat, .split = Split::test}), UsageError);
  write_png(folder / "flat/c.png", picture(1, 3));
  EXPECT_THAT(message_of([&] { load_data({.name = flat}); }),
              AllOf(HasSubstr("c.png"), HasSubstr("3 x 3"), HasSubstr("a.png")));
  folders("split/train/dogs"), folders("split/train/cats"), folders("split/test/cats");
  write_png(folder / "split/train/dogs/1.png", picture(1));
  write_png(folder / "split/train/cats/1.png", picture(2));
  write_png(folder / "split/test/cats/1.png", picture(3));
  const ImageSet train = load_data({.name = folders("split")});
  EXPECT_THAT(train.labels, ElementsAre(0, 1));
  EXPECT_EQ(train.bytes()[0], 2);
  EXPECT_EQ(load_data({.name = folders("split"), .split = Split::test}).bytes()[0], 3);
  EXPECT_THAT(message_of([&] { load_data({.name = folders("empty")}); }), HasSubstr("no .png files"));
}

}  // namespace
}  // namespace tweedie::data
