#include <bit>
#include <cstring>
#include <limits>

#include "nn/io/npz.h"
#include "tests/nn/io_support.h"

namespace tweedie::io {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::fixture;
using testing::fixture_value;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

Bytes npy_with_header(std::string dictionary, std::size_t data_bytes) {
  dictionary += '\n';
  std::string text = "\x93NUMPY";
  text += {'\1', '\0', static_cast<char>(dictionary.size()), static_cast<char>(dictionary.size() >> 8)};
  text += dictionary + std::string(data_bytes, '\0');
  const ByteView view = bytes_of(text);
  return {view.begin(), view.end()};
}

template <class T>
void expect_fixture_values(const HostArray& array, double offset, double scale) {
  const auto values = array.as<T>();
  ASSERT_EQ(values.size(), 30u);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(values[i], static_cast<T>((fixture_value(static_cast<std::int64_t>(i)) - offset) * scale)) << i;
}

TEST(Npy, ReadsEveryTypeOfNumpy) {
  for (const char* type : {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}) {
    SCOPED_TRACE(type);
    const HostArray array = read_npy(fixture(std::string(type) + ".npy"));
    EXPECT_EQ(array.shape, Shape({2, 3, 5}));
    const std::string_view name = type;
    if (name == "f8") {
      expect_fixture_values<double>(array, 40, 0.125);
    } else if (name[0] == 'f') {
      expect_fixture_values<float>(array, 40, 0.125);
    } else if (name == "u1") {
      expect_fixture_values<std::uint8_t>(array, 0, 1);
    } else if (name[0] == 'b') {
      for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(array.as<std::uint8_t>()[i], i % 2);
    } else {
      expect_fixture_values<std::int64_t>(array, name[0] == 'i' ? 40 : 0, 1);
    }
  }
}

TEST(Npy, ReadsScalarsVectorsEmptyAndLaterVersions) {
  EXPECT_EQ(read_npy(fixture("scalar.npy")).shape, Shape());
  EXPECT_EQ(read_npy(fixture("scalar.npy")).as<float>()[0], (1 - 40) / 8.0f);
  EXPECT_EQ(read_npy(fixture("vector.npy")).shape, Shape({7}));
  EXPECT_EQ(read_npy(fixture("empty.npy")).shape, Shape({0, 4}));
  for (const char* name : {"version2.npy", "version3.npy"}) {
    const HostArray array = read_npy(fixture(name));
    EXPECT_EQ(array.shape, Shape({4, 4}));
    EXPECT_EQ(array.as<float>()[15], (46 - 40) / 8.0f);
  }
}

TEST(Npy, WritesTheBytesThatNumpyWrites) {
  const TemporaryFolder folder;
  for (const char* name : {"f4.npy", "f8.npy", "i8.npy", "u1.npy", "scalar.npy", "vector.npy", "empty.npy"}) {
    write_npy(folder / "copy.npy", view_of(read_npy(fixture(name))));
    EXPECT_EQ(read_file(folder / "copy.npy"), read_file(fixture(name))) << name;
  }
}

TEST(Npy, EachBadFileSaysWhatWouldBeRight) {
  const auto message = [](const char* name) { return message_of([&] { read_npy(fixture(name)); }); };
  EXPECT_THAT(message("bad_big_endian.npy"), AllOf(HasSubstr("bad_big_endian.npy"), HasSubstr("little-endian")));
  EXPECT_THAT(message("bad_fortran.npy"), HasSubstr("numpy.ascontiguousarray"));
  EXPECT_THAT(message("bad_object.npy"), AllOf(HasSubstr("'|O'"), HasSubstr("expected float16")));
  EXPECT_THAT(message("bad_complex.npy"), AllOf(HasSubstr("'<c8'"), HasSubstr("not supported")));
  EXPECT_THAT(message("bad_string.npy"), HasSubstr("'<U2'"));
  EXPECT_THAT(message("bad_record.npy"), HasSubstr("records"));
  EXPECT_THAT(message("text.gz"), HasSubstr("not an .npy file"));
}

TEST(Npy, WrongHeadersAreErrors) {
  const auto message = [](const std::string& dictionary, std::size_t bytes) {
    return message_of([&] { parse_npy(npy_with_header(dictionary, bytes), "x.npy"); });
  };
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 20),
              AllOf(HasSubstr("truncated data"), HasSubstr("(2, 3)"), HasSubstr("24 bytes"), HasSubstr("has 20")));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 28), HasSubstr("longer"));
  EXPECT_THAT(
      message("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }", 4),
      HasSubstr("overflows"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4),
              HasSubstr("63 bits"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4), HasSubstr("non-negative"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, }", 4), HasSubstr("missing"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", 4), HasSubstr("True or False"));
  EXPECT_THAT(message("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4),
              HasSubstr("repeated"));
  EXPECT_THAT(message("{'descr': '<f4, 'fortran_order': False, 'shape': (1,), }", 4), HasSubstr("malformed"));
  EXPECT_THAT(message("nonsense", 4), HasSubstr("'{' expected"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1), }", 4),
              HasSubstr("7 axes"));
  Bytes huge_header = npy_with_header("{}", 0);
  huge_header[9] = std::byte{0xff};
  EXPECT_THAT(message_of([&] { parse_npy(huge_header, "x.npy"); }), HasSubstr("declares"));
  Bytes future = npy_with_header("{}", 0);
  future[6] = std::byte{4};
  EXPECT_THAT(message_of([&] { parse_npy(future, "x.npy"); }), HasSubstr("version 4.0"));
}

TEST(Npy, EveryTruncationIsAnError) {
  const Bytes whole = read_file(fixture("f4.npy"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(parse_npy(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), "cut"), Error);
  }
}

TEST(Npy, AccessAsTheWrongTypeNamesBoth) {
  const HostArray array = read_npy(fixture("f8.npy"));
  EXPECT_THAT(message_of([&] { array.as<float>(); }),
              AllOf(HasSubstr("f8.npy"), HasSubstr("float64"), HasSubstr("float32")));
  EXPECT_EQ(to_float32(array)[0], (1 - 40) / 8.0f);
}

TEST(Npy, Float16IsWidenedExactly) {
  EXPECT_EQ(float16_to_float32(0x3c00), 1.0f);
  EXPECT_EQ(float16_to_float32(0x0001), 0x1p-24f);
  EXPECT_EQ(float16_to_float32(0x83ff), -0x3ffp-24f);
  EXPECT_EQ(float16_to_float32(0x7bff), 65504.0f);
  EXPECT_EQ(float16_to_float32(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(float16_to_float32(0x7e00)));
  EXPECT_TRUE(std::signbit(float16_to_float32(0x8000)));
  EXPECT_EQ(bfloat16_to_float32(0xbf80), -1.0f);
}

TEST(Npz, ReadsStoredAndDeflated) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const auto arrays = read_npz(fixture(name));
    ASSERT_EQ(arrays.size(), 3u);
    EXPECT_EQ(arrays.at("x").shape, Shape({2, 3}));
    EXPECT_EQ(arrays.at("x").as<float>()[5], (16 - 40) / 8.0f);
    EXPECT_THAT(arrays.at("labels").as<std::int64_t>(), ElementsAre(-39, -36, -33, -30, -27));
    EXPECT_EQ(arrays.at("pixels").as<std::uint8_t>()[15], 46);
  }
}

TEST(Npz, RoundTrip) {
  const TemporaryFolder folder;
  NpzWriter writer(folder / "a.npz");
  writer.add("x", std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  writer.add("n", std::vector<std::int64_t>{-7}, {});
  EXPECT_THAT(message_of([&] { writer.add("x", std::vector<float>{1}, {1}); }), HasSubstr("added twice"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.npz"));
  writer.commit();
  const auto arrays = read_npz(folder / "a.npz");
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_THAT(arrays.at("x").as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(arrays.at("n").shape, Shape());
  EXPECT_EQ(arrays.at("n").as<std::int64_t>()[0], -7);
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_THAT(message_of([&] { write_npz(folder / "none.npz", {}); }), HasSubstr("at least one array"));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Npz, CorruptionIsFoundByTheChecksum) {
  Bytes file = read_file(fixture("stored.npz"));
  // The last data byte of the first entry: found through its value, 16 -> (16 - 40) / 8 = -3.0f = 0xc0400000.
  const float last = -3.0f;
  const auto* needle = reinterpret_cast<const std::byte*>(&last);
  const auto found = std::search(file.begin(), file.end(), needle, needle + 4);
  ASSERT_NE(found, file.end());
  *found ^= std::byte{1};
  EXPECT_THAT(message_of([&] { parse_npz(file, "a.npz"); }), AllOf(HasSubstr("a.npz[x.npy]"), HasSubstr("CRC-32")));
}

TEST(Npz, EveryTruncationIsAnError) {
  const Bytes whole = read_file(fixture("deflated.npz"));
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(parse_npz(ByteView(whole).first(length), "cut"), Error) << length;
  EXPECT_THAT(message_of([&] { parse_npz(ByteView(whole).first(whole.size() - 1), "cut.npz"); }),
              AllOf(HasSubstr("cut.npz"), HasSubstr("truncated")));
  EXPECT_THAT(message_of([&] { read_npz(fixture("f4.npy")); }), HasSubstr("not an .npz"));
}

}  // namespace
}  // namespace tweedie::io
