#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tweedie::experiments {

/// How a series is drawn. `reference` is a large hollow mark for values from elsewhere (a paper, a theory).
enum class Draw : std::uint8_t { line_points, line, dashed, points, bars, reference };
/// How the interval of each point, if any, is drawn.
enum class Spread : std::uint8_t { error_bars, band };

/// Points (x, y); a y that is NaN leaves a gap. `low` and `high`, where given, are the ends of an interval around
/// each y, in the units of y.
struct Series {
  std::string label = {};  // in the legend; empty: none
  std::vector<double> x = {}, y = {};
  std::vector<double> low = {}, high = {};
  Draw draw = Draw::line_points;
  Spread spread = Spread::error_bars;
  int colour = -1;  // index into the palette; -1: the series' own position
};

struct Axis {
  std::string label = {};  // with units
  bool logarithmic = false;
  std::optional<double> from = {}, to = {};
  std::vector<std::pair<double, std::string>> ticks = {};  // labelled positions in place of the usual ticks
};

/// A straight line across the panel.
struct Marker {
  double at = 0;
  std::string label = {};
};

/// values[row * columns + column]; row 0 lies at y_from, column 0 at x_from, each cell an equal rectangle.
struct HeatMap {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values = {};
  double x_from = 0, x_to = 1, y_from = 0, y_to = 1;
  std::string label = {};  // of the colours, with units
  bool diverging = false;  // white at zero, blue below, red above
  std::optional<double> from = {}, to = {};
};

enum class Legend : std::uint8_t { below, top_left, top_right, bottom_left, bottom_right, none };

/// A part of a panel's series again, enlarged, inside it. Its place is in parts of the panel; axes need their range.
struct Inset {
  Axis x = {}, y = {};
  double left = 0.5, bottom = 0.5, width = 0.45, height = 0.4;
};

struct Panel {
  std::string title = {};
  Axis x = {}, y = {};
  std::vector<Series> series = {};
  std::vector<Marker> vertical = {}, horizontal = {};
  std::optional<HeatMap> heat_map = {};
  Legend legend = Legend::below;
  std::optional<Inset> inset = {};
};

/// Panels side by side, `columns` to a row (0: all in one row). Sizes in pixels.
struct Plot {
  std::vector<Panel> panels = {};
  int columns = 0;
  int panel_width = 460, panel_height = 360;
};

/// One SVG image (drawn by gnuplot). Text is taken as it is; UTF-8 is welcome. Throws Error for series of unequal
/// lengths, infinite values, nothing to draw, what is not above zero on a logarithmic axis (NaN excepted), or an inset
/// without a range.
std::string render_svg(const Plot& plot);

/// The distribution of `values` as bars: the share of all values in each of `bins` equal bins from `from` to `to`
/// (values outside count in the total only).
Series histogram(std::string label, const std::vector<double>& values, int bins, double from, double to);

/// The palette's colours as #rrggbb, for pages that show plots.
const std::vector<std::string>& palette();

}  // namespace tweedie::experiments
