#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/fuzz/parsers.h"

namespace tweedie::fuzz {
namespace {

/// Damage as a fuzzer does it, from a fixed seed: the same files in every run.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  io::Bytes damaged(io::Bytes file, const io::Bytes& donor) {
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(file, donor);
    return file;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void change(io::Bytes& file, const io::Bytes& donor) {
    constexpr std::uint64_t telling[] = {0,
                                         1,
                                         0x7f,
                                         0x80,
                                         0xff,
                                         0xffff,
                                         0x7fffffff,
                                         0x80000000,
                                         0xffffffff,
                                         0x7fffffffffffffff,
                                         0x8000000000000000,
                                         0xffffffffffffffff};
    const std::size_t at = below(file.size());
    const std::size_t length = std::min(file.size() - at, 1 + below(24));
    const auto here = file.begin() + static_cast<std::ptrdiff_t>(at);
    const auto until = here + static_cast<std::ptrdiff_t>(length);
    switch (below(8)) {
      case 0:
        if (!file.empty()) *here ^= std::byte{1} << below(8);
        break;
      case 1:
        if (!file.empty()) *here = static_cast<std::byte>(random_());
        break;
      case 2: {  // a length or an offset
        const std::uint64_t value = telling[below(std::size(telling))];
        if (!file.empty())
          std::memcpy(&*here, &value, std::min<std::size_t>(file.size() - at, std::size_t{1} << below(4)));
        break;
      }
      case 3:
        file.resize(at);
        break;
      case 4:
        file.erase(here, until);
        break;
      case 5: {
        const io::Bytes copy(here, until);
        file.insert(file.begin() + static_cast<std::ptrdiff_t>(below(file.size() + 1)), copy.begin(), copy.end());
        break;
      }
      case 6: {  // a digit of a text header
        const char digits[] = "0123456789-,[]{}\"':() ";
        if (!file.empty()) *here = static_cast<std::byte>(digits[below(std::size(digits) - 1)]);
        break;
      }
      default: {  // the tail of another file
        const std::size_t from = below(donor.size());
        file.resize(at);
        file.insert(file.end(), donor.begin() + static_cast<std::ptrdiff_t>(from), donor.end());
      }
    }
  }

  std::mt19937_64 random_;
};

class Mutation : public ::testing::TestWithParam<Parser> {};

TEST_P(Mutation, DamagedFilesAreErrorsOrReadNeverMore) {
  const Parser& parser = GetParam();
  std::vector<io::Bytes> seeds;
  for (const std::string& seed : parser.seeds) {
    seeds.push_back(io::read_file(std::string(TWEEDIE_SOURCE_DIR "/tests/golden/io/") + seed));
    parser.parse(seeds.back());
  }
  Mutator mutator(1);
  int errors = 0, trials = 0;
  for (int round = 0; round < 4000; ++round) {
    for (const io::Bytes& seed : seeds) {
      const io::Bytes file = mutator.damaged(seed, seeds[static_cast<std::size_t>(round) % seeds.size()]);
      ++trials;
      try {
        parser.parse(file);
      } catch (const Error& error) {
        ++errors;
        // The message names the file.
        ASSERT_EQ(std::string_view(error.what()).find("fuzz"), 0u) << error.what();
      }  // anything else that is thrown (bad_alloc of a forged size, a library's own exception) fails the test
    }
  }
  EXPECT_GT(errors, trials / 4);
}

INSTANTIATE_TEST_SUITE_P(Parsers, Mutation, ::testing::ValuesIn(parsers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tweedie::fuzz
