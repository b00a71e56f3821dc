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
  const std::regex block("<!-- from ([^ ]+) -->\n```cpp\n([^`]*)\n```");
  int blocks = 0;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), block); match != std::sregex_iterator(); ++match) {
    const std::string code = io::read_text(root / (*match)[1].str());
    EXPECT_NE(code.find((*match)[2].str()), std::string::npos)
        << "docs/extending.md shows code that is not in " << (*match)[1];
    ++blocks;
  }
  EXPECT_EQ(blocks, 7);
}

// Links of the documentation lead to files that exist.
TEST(Docs, LinksLeadSomewhere) {
  const std::filesystem::path root = TWEEDIE_SOURCE_DIR;
  std::vector<std::filesystem::path> pages = {root / "README.md"};
  for (const auto& entry : std::filesystem::directory_iterator(root / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  const std::regex link("\\]\\(([^)#:]+)\\)");
  for (const std::filesystem::path& page : pages) {
    const std::string text = io::read_text(page);
    for (auto match = std::sregex_iterator(text.begin(), text.end(), link); match != std::sregex_iterator(); ++match)
      EXPECT_TRUE(std::filesystem::exists(page.parent_path() / (*match)[1].str())) << page << ": " << (*match)[1];
  }
}

}  // namespace
}  // namespace tweedie
