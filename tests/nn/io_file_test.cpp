#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "nn/io/gzip.h"
#include "tests/nn/io_support.h"

namespace tweedie::io {
namespace {

using ::testing::AllOf;
using testing::fixture;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

std::string text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
Bytes bytes_copy(std::string_view text) {
  const ByteView view = bytes_of(text);
  return {view.begin(), view.end()};
}

TEST(File, RoundTripReplacesAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a.txt", "first");
  write_file_atomic(folder / "a.txt", "second");
  EXPECT_EQ(read_text(folder / "a.txt"), "second");
  EXPECT_EQ(text_of(read_file(folder / "a.txt")), "second");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, WriterWithoutCommitLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a.txt", "old");
  {
    AtomicFile file(folder / "a.txt");
    file.write("new");
    EXPECT_EQ(file.position(), 3u);
    EXPECT_EQ(read_text(folder / "a.txt"), "old");
  }
  EXPECT_EQ(read_text(folder / "a.txt"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, SymbolicLinksAreFollowed) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "target");
  std::filesystem::create_symlink(folder / "target/a.txt", folder / "link");
  write_file_atomic(folder / "link", "through");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "target/a.txt"), "through");
}

TEST(File, MissingAndUnreadableAreNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { read_file(folder / "none.bin"); }),
              AllOf(HasSubstr("none.bin"), HasSubstr("No such file")));
  EXPECT_THAT(message_of([&] { read_file(folder.path()); }), HasSubstr("it is a folder"));
  EXPECT_THAT(message_of([&] { write_file_atomic(folder / "no/such/a.txt", "x"); }),
              AllOf(HasSubstr("no/such/a.txt"), HasSubstr("must exist")));
  EXPECT_THAT(message_of([&] { write_file_atomic(folder.path(), "x"); }), HasSubstr("a folder of that name exists"));
  // A device is not a target: renaming onto it would replace the device's node.
  EXPECT_THAT(message_of([&] { write_file_atomic("/dev/full", "x"); }), HasSubstr("not a regular file"));
}

TEST(File, FailedWriteIsOneErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a.bin", "old");
  // A limit on file size fails in write(), as a full disk does.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string message = message_of([&] { write_file_atomic(folder / "a.bin", std::string(10000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, AllOf(HasSubstr("a.bin"), HasSubstr("File too large"), HasSubstr("4096 bytes written")));
  EXPECT_EQ(read_text(folder / "a.bin"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(File, ReadPastTheEndNamesTheOffset) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a.bin", "12345");
  const InputFile file(folder / "a.bin");
  Bytes out(4);
  EXPECT_THAT(message_of([&] { file.read_at(3, out); }), AllOf(HasSubstr("a.bin"), HasSubstr("ends at byte 5")));
}

TEST(Gzip, InflatesAllMembers) {
  EXPECT_EQ(text_of(read_file_gunzip(fixture("text.gz"))), "the first member, the second");
  const TemporaryFolder folder;
  write_file_atomic(folder / "plain", "plain");
  EXPECT_EQ(text_of(read_file_gunzip(folder / "plain")), "plain");
}

TEST(Gzip, EveryTruncationIsAnError) {
  const Bytes whole = read_file(fixture("text.gz"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const ByteView cut = ByteView(whole).first(length);
    // The only cut that is a whole file is after the first member.
    try {
      EXPECT_EQ(text_of(gunzip(cut, "cut.gz")), "the first member, ") << length;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("cut.gz"));
    }
  }
  EXPECT_THAT(message_of([&] { gunzip(ByteView(whole).first(20), "cut.gz"); }),
              AllOf(HasSubstr("truncated"), HasSubstr("byte 20")));
}

TEST(Gzip, CorruptionAndTrailingBytesAreNamed) {
  Bytes bad_check = read_file(fixture("text.gz"));
  bad_check[bad_check.size() - 8] ^= std::byte{1};
  EXPECT_THAT(message_of([&] { gunzip(bad_check, "a.gz"); }),
              AllOf(HasSubstr("a.gz"), HasSubstr("corrupt"), HasSubstr("incorrect data check")));
  Bytes trailing = read_file(fixture("text.gz"));
  trailing.push_back(std::byte{7});
  EXPECT_THAT(message_of([&] { gunzip(trailing, "a.gz"); }), HasSubstr("1 bytes at byte"));
  EXPECT_THAT(message_of([&] { gunzip(bytes_copy("hello"), "a.gz"); }), HasSubstr("not a gzip file"));
}

TEST(Gzip, RawInflateChecksTheDeclaredSize) {
  // Python: zlib.compressobj(9, zlib.DEFLATED, -15) of b"abcabcabcabcabc"
  const Bytes deflated = bytes_copy({"\x4b\x4c\x4a\x4e\x44\x42\0", 7});
  EXPECT_EQ(text_of(inflate_raw(deflated, 15, "a")), "abcabcabcabcabc");
  EXPECT_THAT(message_of([&] { inflate_raw(deflated, 14, "a"); }), HasSubstr("declares 14"));
  EXPECT_THAT(message_of([&] { inflate_raw(deflated, 16, "a"); }), HasSubstr("inflates to 15 bytes"));
  EXPECT_THAT(message_of([&] { inflate_raw(deflated, 1ull << 50, "a"); }), HasSubstr("cannot hold"));
}

TEST(Gzip, Crc32MatchesThePublishedCheckValue) {
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xcbf43926u);
  EXPECT_EQ(crc32(bytes_of("56789"), crc32(bytes_of("1234"))), 0xcbf43926u);
}

}  // namespace
}  // namespace tweedie::io
