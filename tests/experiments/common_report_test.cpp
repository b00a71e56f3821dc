#include "experiments/common/report.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "experiments/common/html.h"
#include "kernels/runtime/error.h"
#include "nn/io/file.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

std::vector<std::byte> bytes(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

TEST(Html, Base64IsThatOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) EXPECT_EQ(base64(bytes(plain)), encoded);
  EXPECT_EQ(base64(std::vector<std::byte>{std::byte{0xfb}, std::byte{0xff}}), "+/8=");
}

TEST(Html, InlineSvgHasIdsOfItsOwn) {
  EXPECT_EQ(
      inline_svg("<?xml?>\n<svg a='1'><g id=\"p\"/><use xlink:href='#p' fill='url(#q)'/></svg>", "f1-", "a \"b\""),
      "<svg role=\"img\" aria-label=\"a &quot;b&quot;\" a='1'><g id=\"f1-p\"/><use xlink:href='#f1-p' "
      "fill='url(#f1-q)'/></svg>");
  EXPECT_THROW(inline_svg("no image", "p", ""), Error);
}

TEST(Report, HoldsItsPartsEscapedAndInOrder) {
  Report report("A < B", "Sum & more");
  report.facts({{"Command", "x --y '<z>'"}});
  report.section("First");
  report.claims({{"It <rises>", Verdict::not_at_this_scale, "ratio", 1.23456, 1.1, 1.4, 256, 3, "note"},
                 {"b", Verdict::reproduced},
                 {"c", Verdict::contradicted},
                 {"d", Verdict::as_measured}},
                "claims");
  report.table({{"model", "error"}, {{"unet<8>", "0.25"}}}, "a table");
  report.section("Second");
  report.text("para <script>alert(1)</script>");
  const Plot plot{
      .panels = {{.title = "P", .x = {"x"}, .y = {"y"}, .series = {{.label = "s", .x = {1, 2}, .y = {1, 2}}}}}};
  report.plot(plot, "one plot");
  report.plot(plot, "the same again");
  report.gallery({{bytes("\x89PNG\r\n\x1a\nrest"), "pic", 64}}, "pictures");

  const std::string html = report.html();
  std::size_t at = 0;
  for (const char* part : {"<title>A &lt; B</title>",
                           "Sum &amp; more",
                           "x --y &#39;&lt;z&gt;&#39;",
                           "First</h2>",
                           "It &lt;rises&gt;",
                           "not at this scale",
                           "1.235",
                           "[1.1, 1.4]",
                           "256",
                           "reproduced",
                           "contradicted",
                           "as measured",
                           "<b>Table 1.</b> claims",
                           "unet&lt;8&gt;",
                           "<td class=\"number\">0.25</td>",
                           "<b>Table 2.</b> a table",
                           "Second</h2>",
                           "&lt;script&gt;",
                           "<svg",
                           "id=\"figure-1-",
                           "<b>Figure 1.</b> one plot",
                           "id=\"figure-2-",
                           "data:image/png;base64,iVBORw0KGgpyZXN0",
                           "<b>Figure 3.</b> pictures",
                           "</html>"}) {
    const std::size_t found = html.find(part, at);
    EXPECT_NE(found, std::string::npos) << part;
    if (found != std::string::npos) at = found;
  }
  EXPECT_EQ(html.find("<script"), std::string::npos);
  // Nothing is loaded from elsewhere.
  for (std::size_t start = 0; (start = html.find("src=\"", start)) != std::string::npos; start += 5) {
    EXPECT_EQ(html.compare(start + 5, 5, "data:"), 0);
  }
}

TEST(Report, AClaimOfOneTrainedModelHasNoVerdict) {
  const Claim one{"It rises", Verdict::reproduced, "ratio", 1.2, 1.1, 1.3, 256, 1, "bootstrap"};
  Claim two = one, none = one;
  two.seeds = 2;
  none.seeds = 0;  // nothing was trained
  EXPECT_EQ(claim_json(one).at("verdict"), "as measured");
  EXPECT_EQ(claim_json(one).at("note"), "bootstrap; one seed: no verdict");
  EXPECT_EQ(claim_json(two).at("verdict"), "reproduced");
  EXPECT_EQ(claim_json(two).at("note"), "bootstrap");
  EXPECT_EQ(claim_json(none).at("verdict"), "reproduced");
  EXPECT_EQ(tally_of({one}), "");
  EXPECT_NE(tally_of({one, two}).find("Of 1 claims with a verdict 1 hold"), std::string::npos);
  Report report("t", "s");
  report.claims({one}, "claims");
  EXPECT_EQ(report.html().find("reproduced"), std::string::npos);
  EXPECT_NE(report.html().find("one seed: no verdict"), std::string::npos);
}

TEST(Report, AnIntervalOfNoWidthIsSaidToBeOne) {
  Claim claim{"It is 1", Verdict::reproduced, "share", 1.0, 1.0 - 1e-15, 1.0 + 1e-15, 256, 3, ""};
  EXPECT_EQ(claim_json(claim).at("verdict"), "reproduced");
  EXPECT_EQ(claim_json(claim).at("note"), "the same in every seed");
  claim.high = 1.001;
  EXPECT_EQ(claim_json(claim).at("note"), "");
}

TEST(Report, MistakesAreNamed) {
  Report report("t", "s");
  EXPECT_THROW(report.gallery({{bytes("GIF89a and more"), "pic", 64}}, "pictures"), Error);
  EXPECT_THROW(report.table({{"a", "b"}, {{"1"}}}, "t"), Error);
  EXPECT_THROW(report.write("/nowhere/report.html"), Error);
  EXPECT_THROW(picture_from_file("/nowhere/x.png", ""), Error);
}

TEST(Report, IsOneFile) {
  const TemporaryFolder folder;
  const Report report("t", "s");
  report.write(folder.path() / "report.html");
  EXPECT_EQ(io::read_text(folder.path() / "report.html"), report.html());
}

}  // namespace
}  // namespace tweedie::experiments
