#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "nn/io/file.h"

namespace tweedie {
namespace {

// Code in the documentation is code of the repository: each block names its file and stands in it word for word.
TEST(Docs, CodeBlocksOfExtendingStandInTheFilesTheyName) {
  const std::filesystem::path root = TWEEDIE_SOURCE_DIR;
  const std::string text = io::read_text(root / "docs/extending.md");
  const std::string marker = "<!-- from ", open = " -->\n```cpp\n", close = "\n```";
  int blocks = 0;
  for (std::size_t at = text.find(marker); at != std::string::npos; at = text.find(marker, at + 1), ++blocks) {
    const std::size_t name = at + marker.size(), code = text.find(open, name),
                      end = text.find(close, code + open.size());
    ASSERT_NE(end, std::string::npos);
    const std::string file = text.substr(name, code - name);
    const std::string shown = text.substr(code + open.size(), end - code - open.size());
    EXPECT_NE(io::read_text(root / file).find(shown), std::string::npos)
        << "docs/extending.md shows code that is not in " << file << ":\n"
        << shown;
  }
  EXPECT_EQ(blocks, 7);
}

// Links of the documentation lead to files that exist.
TEST(Docs, LinksLeadSomewhere) {
  const std::filesystem::path root = TWEEDIE_SOURCE_DIR;
  std::vector<std::filesystem::path> pages = {root / "README.md"};
  for (const auto& entry : std::filesystem::directory_iterator(root / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  const std::regex link("\\]\\(([^)#: ]+[.][a-z]+)\\)");
  for (const std::filesystem::path& page : pages) {
    const std::string text = io::read_text(page);
    for (auto match = std::sregex_iterator(text.begin(), text.end(), link); match != std::sregex_iterator(); ++match)
      EXPECT_TRUE(std::filesystem::exists(page.parent_path() / (*match)[1].str())) << page << ": " << (*match)[1];
  }
}

}  // namespace
}  // namespace tweedie
