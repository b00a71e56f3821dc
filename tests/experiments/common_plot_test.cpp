#include "experiments/common/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "experiments/common/gnuplot.h"
#include "experiments/common/plot_axis.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

std::string error_of(const Plot& plot) {
  try {
    render_svg(plot);
  } catch (const Error& error) {
    return error.what();
  }
  return "drawn";
}

Plot one(const Series& series, bool logarithmic = false) {
  return {.panels = {{.title = "T", .x = {"x"}, .y = {"y", logarithmic}, .series = {series}}}};
}

TEST(Plot, DrawsEveryKindOfPanel) {
  const Series line{.label = "line", .x = {1, 2, 3}, .y = {1, 4, 9}, .low = {0.5, 3, 8}, .high = {2, 5, 10}};
  Series band = line;
  band.label = "band", band.spread = Spread::band, band.draw = Draw::dashed;
  const Series reference{.label = "paper", .x = {2}, .y = {5}, .draw = Draw::reference};
  const HeatMap map{.rows = 2, .columns = 3, .values = {0, 1, 2, 3, 4, 5}, .label = "density"};
  const std::string svg = render_svg(
      {.panels = {{.title = "Lines",
                   .x = {"x"},
                   .y = {"y", true},
                   .series = {line, band, reference},
                   .vertical = {{2, "here"}}},
                  {.title = "Bars", .x = {"v"}, .y = {"share"}, .series = {histogram("h", {1, 1, 2, 3}, 3, 0.5, 3.5)}},
                  {.title = "Map", .x = {"x"}, .y = {"y"}, .series = {}, .heat_map = map}},
       .columns = 2});
  for (const char* text : {"Lines", "Bars", "Map", "line", "band", "paper", "here", "density"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  EXPECT_NE(svg.find("viewBox=\"0 0 920 720\""), std::string::npos);  // two rows of two panels
  EXPECT_EQ(occurrences(svg, "data:image/png;base64,"), 1U);          // the heat map lies inside the file
  EXPECT_EQ(svg.find("gnuplot_plot_1a</title>"), std::string::npos);
}

TEST(Plot, PowersOfTenAreWrittenOut) {
  Plot plot = one({.label = "s", .x = {1, 2e4}, .y = {1, 2}});
  plot.panels[0].x.logarithmic = true;
  const std::string svg = render_svg(plot);
  EXPECT_NE(svg.find("10000"), std::string::npos);
  EXPECT_EQ(svg.find("1e+04"), std::string::npos);
}

TEST(Plot, AnInsetShowsAPartAgain) {
  Plot plot = one({.label = "s", .x = {1, 2, 3}, .y = {1, 50, 90}});
  plot.panels.push_back(plot.panels.front());
  const std::string plain = render_svg(plot);
  plot.panels[0].inset = Inset{.x = {.from = 1.0, .to = 2.0}, .y = {.from = 0.123, .to = 0.125}};
  plot.panels[0].inset->y.ticks = {{0.124, "tick of the inset"}};
  const std::string svg = render_svg(plot);
  EXPECT_EQ(plain.find("tick of the inset"), std::string::npos);
  EXPECT_NE(svg.find("tick of the inset"), std::string::npos);
  // The panel after it keeps its own place.
  EXPECT_EQ(occurrences(svg, ">T<"), occurrences(plain, ">T<"));
  plot.panels[0].inset = Inset{};
  EXPECT_EQ(error_of(plot), "plot: the inset of panel 'T' has no range");
}

TEST(Plot, TextIsTakenAsItIs) {
  const std::string nasty = R"(a_1^{2} "q" it's <b>&amp; @~\n σ²)";
  const std::string svg = render_svg(one({.label = nasty, .x = {1, 2}, .y = {1, 2}}));
  EXPECT_NE(svg.find(R"(a_1^{2} "q" it's &lt;b>&amp;amp; @~\n σ²)"), std::string::npos) << svg;
}

TEST(Plot, MistakesAreNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(error_of({}), "plot: no panels");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1, 2}, .y = {1}})),
            "plot: series 's' of panel 'T': 2 x, 1 y, 0 low and 0 high values");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1}, .y = {infinity}})),
            "plot: series 's' of panel 'T': holds an infinite value");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1}, .y = {nan}})), "plot: panel 'T' has nothing to show");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1, 2}, .y = {1, 0}}, true)),
            "plot: the logarithmic axis 'y' cannot show 0");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1, 2, 3}, .y = {1, nan, 2}}, true)), "drawn");
  EXPECT_EQ(error_of(one({.label = "s", .x = {1}, .y = {3}}, true)), "drawn");  // a single point
  Plot map{
      .panels = {
          {.title = "M", .x = {}, .y = {}, .series = {}, .heat_map = HeatMap{.rows = 2, .columns = 2, .values = {1}}}}};
  EXPECT_EQ(error_of(map), "plot: heat map of 2 rows and 2 columns has 1 values");
}

TEST(Plot, NoGnuplotNamesThePackage) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  const std::string error = error_of(one({.label = "s", .x = {1, 2}, .y = {1, 2}}));
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(error, "plot: gnuplot is not on PATH: install the Debian package gnuplot-nox");
}

TEST(Plot, GnuplotsOwnComplaintIsPassedOn) {
  try {
    run_gnuplot("plot nonsense(\n");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("gnuplot failed: "), std::string::npos);
    EXPECT_GT(std::string(error.what()).size(), 30U);
  }
}

TEST(Plot, HistogramSharesCountEveryValue) {
  const Series bars = histogram("h", {0.0, 0.1, 0.5, 0.99, 1.0, 7.0, -1.0, 0.25}, 4, 0, 1);
  EXPECT_EQ(bars.x, (std::vector<double>{0.125, 0.375, 0.625, 0.875}));
  EXPECT_EQ(bars.y, (std::vector<double>{0.25, 0.125, 0.125, 0.25}));  // of 8, of which two lie outside
}

TEST(Plot, LogarithmicTicksSuitTheRange) {
  const auto near = [](std::vector<double> ticks, std::vector<double> wanted) {
    ASSERT_EQ(ticks.size(), wanted.size());
    for (std::size_t i = 0; i < ticks.size(); ++i) EXPECT_NEAR(ticks[i], wanted[i], 1e-9 * wanted[i]);
  };
  near(logarithmic_ticks(0.15, 30), {0.2, 0.5, 1, 2, 5, 10, 20});
  near(logarithmic_ticks(0.98, 1.17), {1.0, 1.05, 1.10, 1.15});
  near(logarithmic_ticks(1e-3, 1e2), {1e-3, 1e-2, 1e-1, 1, 10, 100});
  near(logarithmic_ticks(1, 1e15), {1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12, 1e14});
}

}  // namespace
}  // namespace tweedie::experiments
