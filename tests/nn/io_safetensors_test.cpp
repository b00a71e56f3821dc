#include <bit>
#include <cstring>

#include "nn/io/safetensors.h"
#include "tests/nn/io_support.h"

namespace tweedie::io {
namespace {

using ::testing::AllOf;
using testing::fixture;
using testing::fixture_value;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

Bytes file_with_header(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  Bytes file(8 + header.size() + data_bytes);
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

std::string message_for(const std::string& header, std::size_t data_bytes) {
  return message_of([&] { SafetensorsFile(file_with_header(header, data_bytes), "w.safetensors"); });
}

TEST(Safetensors, ReadsEveryTypeOfTheOfficialWriter) {
  const SafetensorsFile file(fixture("all.safetensors"));
  EXPECT_EQ(file.tensors().size(), 12u);
  EXPECT_EQ(file.metadata().at("note"), "tiny");
  for (const char* type : {"F64", "F32", "F16", "BF16"}) {
    const std::vector<float> values = file.read_float32(std::string("block.") + type, Shape({3, 4}));
    for (int i = 0; i < 12; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], (fixture_value(i) - 40) / 8.0f) << type;
  }
  for (const char* type : {"I64", "I32", "I16", "I8"}) {
    const HostArray array = file.read(std::string("block.") + type);
    for (int i = 0; i < 12; ++i)
      EXPECT_EQ(array.as<std::int64_t>()[static_cast<std::size_t>(i)], fixture_value(i) - 40) << type;
  }
  EXPECT_EQ(file.read("block.U8").as<std::uint8_t>()[11], 34);
  EXPECT_EQ(file.read("block.BOOL").as<std::uint8_t>()[11], 1);
  EXPECT_EQ(file.read("block.BF16").dtype, DType::bfloat16);
  EXPECT_EQ(file.read_float32("scalar", Shape())[0], 1.5f);
  EXPECT_EQ(file.read("empty").shape, Shape({0, 3}));
}

TEST(Safetensors, MissingOrWrongTensorsAreNamed) {
  const SafetensorsFile file(fixture("all.safetensors"));
  EXPECT_FALSE(file.contains("conv.weight"));
  EXPECT_THAT(message_of([&] { file.read("conv.weight"); }),
              AllOf(HasSubstr("all.safetensors"), HasSubstr("'conv.weight' is missing")));
  EXPECT_THAT(message_of([&] {
                file.read_float32("block.F32", Shape({4, 3}));
              }),
              AllOf(HasSubstr("block.F32"), HasSubstr("(3, 4)"), HasSubstr("expected (4, 3)")));
  EXPECT_THAT(message_of([&] { file.read_float32("block.I64"); }),
              AllOf(HasSubstr("block.I64"), HasSubstr("floating")));
}

TEST(Safetensors, RoundTripSortedAndAligned) {
  const TemporaryFolder folder;
  const std::vector<float> b = {1, 2, 3}, a = {4};
  const std::vector<double> d = {0.1};
  const std::vector<std::uint8_t> u = {9, 8, 7};
  const std::vector<std::uint16_t> half_bits = {0x3f80, 0xc000};
  write_safetensors(folder / "w.safetensors",
                    {view_of("u", u, {3}),
                     view_of("b", b, {3, 1}),
                     view_of("a", a, {}),
                     view_of("d", d, {1}),
                     {"h", DType::bfloat16, Shape({2}), std::as_bytes(std::span(half_bits))}},
                    {{"format", "pt"}});
  const SafetensorsFile file(folder / "w.safetensors");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.at("d").offset % 8, 0u);
  EXPECT_LT(file.at("d").offset, file.at("a").offset);
  EXPECT_LT(file.at("a").offset, file.at("b").offset);
  EXPECT_LT(file.at("b").offset, file.at("h").offset);
  EXPECT_LT(file.at("h").offset, file.at("u").offset);
  EXPECT_EQ(file.read_float32("b", Shape({3, 1})), b);
  EXPECT_EQ(file.read_float32("h"), (std::vector<float>{1.0f, -2.0f}));
  EXPECT_EQ(file.read("d").as<double>()[0], 0.1);
  EXPECT_EQ(file.read("u").as<std::uint8_t>()[2], 7);
  EXPECT_THAT(message_of([&] {
                write_safetensors(folder / "w2", {view_of("a", a, {}), view_of("a", a, {})});
              }),
              HasSubstr("occurs twice"));
  EXPECT_EQ(folder.entries(), 1);
}

TEST(Safetensors, ForgedHeadersAreErrors) {
  EXPECT_THAT(message_of([&] { SafetensorsFile(Bytes(5), "w.safetensors"); }), HasSubstr("5 bytes"));
  Bytes huge = file_with_header("{}", 0);
  huge[7] = std::byte{0x7f};
  EXPECT_THAT(message_of([&] { SafetensorsFile(huge, "w.safetensors"); }), HasSubstr("the limit is"));
  Bytes longer = file_with_header("{}", 0);
  longer[0] = std::byte{3};
  EXPECT_THAT(message_of([&] { SafetensorsFile(longer, "w.safetensors"); }), HasSubstr("truncated"));
  EXPECT_THAT(message_for("{\"a\": ", 0), AllOf(HasSubstr("w.safetensors"), HasSubstr("not valid JSON")));
  EXPECT_THAT(message_for("[1]", 0), HasSubstr("byte 8 must be '{'"));
}

TEST(Safetensors, WrongOffsetsAreErrors) {
  const auto tensor = [](const char* name, const char* shape, int first, int last) {
    return fmt::format(R"("{}": {{"dtype": "F32", "shape": {}, "data_offsets": [{}, {}]}})", name, shape, first, last);
  };
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "," + tensor("b", "[2]", 4, 12) + "}", 12),
              AllOf(HasSubstr("'b' overlaps"), HasSubstr("w.safetensors")));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "," + tensor("b", "[2]", 0, 8) + "}", 8),
              HasSubstr("overlaps"));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "," + tensor("b", "[2]", 12, 20) + "}", 20),
              HasSubstr("before tensor 'b' belong to no tensor"));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "}", 9), HasSubstr("at its end belong to no tensor"));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "}", 7), AllOf(HasSubstr("'a'"), HasSubstr("out of range")));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 8, 0) + "}", 8), HasSubstr("out of range"));
  EXPECT_THAT(message_for("{" + tensor("a", "[3]", 0, 8) + "}", 8), AllOf(HasSubstr("'a'"), HasSubstr("12 bytes")));
  EXPECT_THAT(message_for("{" + tensor("a", "[4294967296, 4294967296]", 0, 8) + "}", 8), HasSubstr("overflows"));
  EXPECT_THAT(message_for("{" + tensor("a", "[-2]", 0, 8) + "}", 8), HasSubstr("non-negative"));
  EXPECT_THAT(message_for("{" + tensor("a", "[2]", 0, 8) + "," + tensor("a", "[2]", 8, 16) + "}", 16),
              HasSubstr("'a' occurs twice"));
}

TEST(Safetensors, MalformedEntriesAreErrors) {
  EXPECT_THAT(message_for(R"({"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}})", 4),
              HasSubstr("unknown dtype 'Q4'"));
  EXPECT_THAT(message_for(R"({"a": {"dtype": "F32", "shape": [1]}})", 4), HasSubstr("nothing else"));
  EXPECT_THAT(message_for(R"({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}})", 4),
              HasSubstr("non-negative integers"));
  EXPECT_THAT(message_for(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}})", 4),
              HasSubstr("list of two"));
  EXPECT_THAT(message_for(R"({"__metadata__": {"a": 1}})", 0), HasSubstr("must be a string"));
  const SafetensorsFile file(
      file_with_header(R"({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}})", 4), "w.safetensors");
  EXPECT_THAT(message_of([&] { file.read("a"); }), AllOf(HasSubstr("'a'"), HasSubstr("F8_E4M3")));
}

}  // namespace
}  // namespace tweedie::io
