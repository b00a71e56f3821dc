#include "experiments/common/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/common/gnuplot.h"
#include "experiments/common/plot_axis.h"
#include "kernels/runtime/error.h"

namespace tweedie::experiments {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Extents {
  Extent x{infinity, -infinity}, y{infinity, -infinity};
};

void check(const Series& series, const Panel& panel) {
  const std::string what = fmt::format("plot: series '{}' of panel '{}'", series.label, panel.title);
  require(series.x.size() == series.y.size() && series.low.size() == series.high.size() &&
              (series.low.empty() || series.low.size() == series.x.size()),
          "{}: {} x, {} y, {} low and {} high values", what, series.x.size(), series.y.size(), series.low.size(),
          series.high.size());
  for (const auto* values : {&series.x, &series.y, &series.low, &series.high}) {
    for (const double value : *values) require(!std::isinf(value), "{}: holds an infinite value", what);
  }
  for (const double x : series.x) require(!std::isnan(x), "{}: holds an x that is not a number", what);
}

double bar_width(const Series& series) {
  return series.x.size() > 1 ? series.x[1] - series.x[0] : 1.0;
}

Extents extents_of(const Panel& panel) {
  Extents all;
  for (const Series& series : panel.series) {
    check(series, panel);
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      if (std::isnan(series.y[i])) continue;
      const double half = series.draw == Draw::bars ? bar_width(series) / 2 : 0;
      all.x.include(series.x[i] - half);
      all.x.include(series.x[i] + half);
      all.y.include(series.y[i]);
      if (series.draw == Draw::bars && !panel.y.logarithmic) all.y.include(0);
      for (const auto* ends : {&series.low, &series.high}) {
        if (!ends->empty() && !std::isnan((*ends)[i])) all.y.include((*ends)[i]);
      }
    }
  }
  for (const Marker& marker : panel.vertical) all.x.include(marker.at);
  for (const Marker& marker : panel.horizontal) all.y.include(marker.at);
  return all;
}

std::string number(double value) {
  return std::isnan(value) ? "NaN" : fmt::format("{:.10g}", value);
}

std::string data_block(const std::string& name, const Series& series) {
  std::string text = fmt::format("${} << END_OF_DATA\n", name);
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    text += number(series.x[i]) + " " + number(series.y[i]);
    if (!series.low.empty()) text += " " + number(series.low[i]) + " " + number(series.high[i]);
    text += "\n";
  }
  return text + "END_OF_DATA\n";
}

std::string data_block(const std::string& name, const HeatMap& map) {
  require(map.rows > 0 && map.columns > 0 && static_cast<std::int64_t>(map.values.size()) == map.rows * map.columns,
          "plot: heat map of {} rows and {} columns has {} values", map.rows, map.columns, map.values.size());
  std::string text = fmt::format("${} << END_OF_DATA\n", name);
  for (std::int64_t row = 0; row < map.rows; ++row) {
    for (std::int64_t column = 0; column < map.columns; ++column) {
      text += number(map.values[static_cast<std::size_t>(row * map.columns + column)]) + " ";
    }
    text += "\n";
  }
  return text + "END_OF_DATA\n";
}

// The plot elements of one series: its interval first, so that the line lies above it.
std::vector<std::string> elements(const std::string& block, const Series& series, const std::string& colour) {
  const std::string title = series.label.empty() ? "notitle" : "title " + gnuplot_text(series.label);
  std::vector<std::string> parts;
  if (!series.low.empty() && series.spread == Spread::band) {
    parts.push_back(fmt::format(
        "${} using 1:3:4 with filledcurves lc rgb '{}' fs transparent solid 0.18 noborder notitle", block, colour));
  } else if (!series.low.empty()) {
    // Vectors with flat heads: gnuplot's own error bars blank a disc around each point.
    parts.push_back(fmt::format(
        "${} using 1:3:(0):($4-$3) with vectors heads size graph 0.008,90 nofilled lc rgb '{}' lw 1.3 notitle", block,
        colour));
  }
  std::string style;
  switch (series.draw) {
    case Draw::line_points:
      style = "with linespoints lw 2 pt 7 ps 0.55";
      break;
    case Draw::line:
      style = "with lines lw 2";
      break;
    case Draw::dashed:
      style = "with lines lw 2 dt (8,5)";
      break;
    case Draw::points:
      style = "with points pt 7 ps 0.55";
      break;
    case Draw::reference:
      style = "with points pt 12 ps 1.1 lw 1.6";
      break;
    case Draw::bars:
      style = "with boxes fs transparent solid 0.45 noborder";
      break;
  }
  const std::string columns = series.draw == Draw::bars ? fmt::format("1:2:({:.10g})", bar_width(series)) : "1:2";
  parts.push_back(fmt::format("${} using {} {} lc rgb '{}' {}", block, columns, style, colour, title));
  return parts;
}

std::string marker_commands(const Panel& panel) {
  std::string text = "unset arrow\nunset label\n";
  const char* style = "nohead dt (3,4) lw 1.3 lc rgb '#777777' back";
  for (const Marker& marker : panel.vertical) {
    text += fmt::format("set arrow from first {0:.10g}, graph 0 to first {0:.10g}, graph 1 {1}\n", marker.at, style);
    if (!marker.label.empty()) {
      text += fmt::format(
          "set label {} at first {:.10g}, graph 0.97 right rotate by 90 offset -0.9,0 font ',11' tc rgb '#666666'\n",
          gnuplot_text(marker.label), marker.at);
    }
  }
  for (const Marker& marker : panel.horizontal) {
    text += fmt::format("set arrow from graph 0, first {0:.10g} to graph 1, first {0:.10g} {1}\n", marker.at, style);
    if (!marker.label.empty()) {
      text += fmt::format("set label {} at graph 0.98, first {:.10g} right offset 0,0.5 font ',11' tc rgb '#666666'\n",
                          gnuplot_text(marker.label), marker.at);
    }
  }
  return text;
}

std::string legend_commands(Legend legend) {
  const char* place = "";
  switch (legend) {
    case Legend::none:
      return "unset key\n";
    case Legend::below:
      place = "outside below center horizontal";
      break;
    case Legend::top_left:
      place = "inside top left opaque fc rgb '#ffffff'";
      break;
    case Legend::top_right:
      place = "inside top right opaque fc rgb '#ffffff'";
      break;
    case Legend::bottom_left:
      place = "inside bottom left opaque fc rgb '#ffffff'";
      break;
    case Legend::bottom_right:
      place = "inside bottom right opaque fc rgb '#ffffff'";
      break;
  }
  return fmt::format("set key default\nset key {} reverse Left samplen 2 spacing 1.15 font ',12'\n", place);
}

std::string heat_map_commands(const HeatMap& map, const std::string& block, std::vector<std::string>& drawn) {
  Extent values{infinity, -infinity};
  for (const double value : map.values) {
    if (!std::isnan(value)) values.include(value);
  }
  double from = map.from.value_or(values.low), to = map.to.value_or(values.high);
  require(std::isfinite(from) && std::isfinite(to), "plot: heat map '{}' has nothing to show", map.label);
  if (map.diverging) {
    to = std::max(std::abs(from), std::abs(to));
    from = -to;
  }
  if (!(to > from)) to = from + std::max(1e-9, std::abs(from) * 1e-3);
  const double dx = (map.x_to - map.x_from) / static_cast<double>(map.columns);
  const double dy = (map.y_to - map.y_from) / static_cast<double>(map.rows);
  drawn.push_back(fmt::format("${} using ({:.10g} + $1 * {:.10g}):({:.10g} + $2 * {:.10g}):3 matrix with image notitle",
                              block, map.x_from + dx / 2, dx, map.y_from + dy / 2, dy));
  const char* colours = map.diverging ? "0 '#2f6db5', 0.25 '#9cc0e0', 0.5 '#ffffff', 0.75 '#eda99c', 1 '#b8322f'"
                                      : "0 '#440154', 0.125 '#472d7b', 0.25 '#3b528b', 0.375 '#2c728e', 0.5 '#21918c', "
                                        "0.625 '#28ae80', 0.75 '#5ec962', 0.875 '#addc30', 1 '#fde725'";
  return fmt::format("set palette defined ({})\nset cbrange [{:.10g}:{:.10g}]\nset cblabel {}\nset colorbox\n", colours,
                     from, to, gnuplot_text(map.label));
}

std::string plot_command(const std::vector<std::string>& drawn) {
  std::string text = "plot ";
  for (std::size_t i = 0; i < drawn.size(); ++i) text += (i ? ", \\\n     " : "") + drawn[i];
  return text + "\n";
}

/// Where a panel lies in the whole image, in parts of it from the bottom left.
struct Place {
  double left = 0, bottom = 0, width = 1, height = 1;
};

// The last drawn panel's place is taken up again, for a smaller plot of the same elements on a white ground.
std::string inset_commands(const Panel& panel, const Place& place, const std::vector<std::string>& drawn) {
  const Inset& inset = *panel.inset;
  require(inset.x.from && inset.x.to && inset.y.from && inset.y.to, "plot: the inset of panel '{}' has no range",
          panel.title);
  const double left = place.left + place.width * inset.left, bottom = place.bottom + place.height * inset.bottom,
               width = place.width * inset.width, height = place.height * inset.height;
  std::string text =
      "set multiplot previous\nunset title\nunset key\n" + axis_commands('x', inset.x, {*inset.x.from, *inset.x.to}) +
      axis_commands('y', inset.y, {*inset.y.from, *inset.y.to}) +
      fmt::format("set origin {:.10g},{:.10g}\nset size {:.10g},{:.10g}\n", left, bottom, width, height) +
      fmt::format(
          "set object 1 rectangle from screen {:.10g},{:.10g} to screen {:.10g},{:.10g} behind fc rgb '#ffffff' "
          "fs solid noborder\n",
          left, bottom, left + width, bottom + height);
  return text + plot_command(drawn) + "unset object 1\n";
}

std::string panel_commands(const Panel& panel, std::size_t index, const Place& place, std::string& data) {
  Extents extents = extents_of(panel);
  std::vector<std::string> drawn;
  std::string text = fmt::format("set title {}\n",
                                 panel.title.empty() ? "''" : "'{/:Bold ' . " + gnuplot_text(panel.title) + " . '}'");
  if (panel.heat_map) {
    const std::string block = fmt::format("heat_{}", index);
    data += data_block(block, *panel.heat_map);
    text += heat_map_commands(*panel.heat_map, block, drawn);
    Axis x = panel.x, y = panel.y;  // the cells fill the panel to its edges
    x.from = x.from.value_or(panel.heat_map->x_from), x.to = x.to.value_or(panel.heat_map->x_to);
    y.from = y.from.value_or(panel.heat_map->y_from), y.to = y.to.value_or(panel.heat_map->y_to);
    text += axis_commands('x', x, extents.x) + axis_commands('y', y, extents.y) + "unset grid\n";
  } else {
    require(!extents.x.empty() && !extents.y.empty(), "plot: panel '{}' has nothing to show", panel.title);
    Axis y = panel.y;
    const bool bars = std::any_of(panel.series.begin(), panel.series.end(),
                                  [](const Series& series) { return series.draw == Draw::bars; });
    if (bars && !y.logarithmic && !y.from && extents.y.low == 0) y.from = 0;  // bars stand on the axis
    text += axis_commands('x', panel.x, extents.x) + axis_commands('y', y, extents.y) +
            "set grid xtics ytics lt 1 lw 0.8 lc rgb '#e4e4e4'\n";
  }
  text += marker_commands(panel) + legend_commands(panel.legend);
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    if (series.x.empty()) continue;
    const std::string block = fmt::format("data_{}_{}", index, i);
    data += data_block(block, series);
    const std::size_t colour = series.colour >= 0 ? static_cast<std::size_t>(series.colour) : i;
    for (std::string& element : elements(block, series, palette()[colour % palette().size()])) {
      drawn.push_back(std::move(element));
    }
  }
  text += plot_command(drawn);
  return panel.inset ? text + inset_commands(panel, place, drawn) : text;
}

void replace_all(std::string& text, const std::string& old, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += with.size()) {
    text.replace(at, old.size(), with);
  }
}

}  // namespace

const std::vector<std::string>& palette() {
  static const std::vector<std::string> colours = {"#2f6db5", "#d9652b", "#2f9467", "#b8322f",
                                                   "#7a55b0", "#8a6d3b", "#d0529b", "#3aa6b9"};
  return colours;
}

std::string render_svg(const Plot& plot) {
  require(!plot.panels.empty(), "plot: no panels");
  const int count = static_cast<int>(plot.panels.size());
  const int columns = plot.columns > 0 ? std::min(plot.columns, count) : count;
  const int rows = (count + columns - 1) / columns;
  std::string data, panels;
  for (int i = 0; i < count; ++i) {
    const Place place{.left = static_cast<double>(i % columns) / columns,
                      .bottom = 1.0 - static_cast<double>(i / columns + 1) / rows,
                      .width = 1.0 / columns,
                      .height = 1.0 / rows};
    panels += panel_commands(plot.panels[static_cast<std::size_t>(i)], static_cast<std::size_t>(i), place, data);
  }
  const std::string head = fmt::format(
      "set encoding utf8\n"
      "set terminal svg size {},{} dynamic enhanced standalone font 'Helvetica,13' background '#ffffff'\n"
      "set border 3 lw 1 lc rgb '#555555'\nset tics nomirror out scale 0.6 font ',12' tc rgb '#333333'\n"
      "set xlabel offset 0,0.5\nset rmargin 3\n",
      plot.panel_width * columns, plot.panel_height * rows);
  const std::string script = head + data + fmt::format("set multiplot layout {},{}\n", rows, columns) + panels +
                             "unset multiplot\nunset output\n";
  std::string svg = run_gnuplot(script);
  require(svg.find("</svg>") != std::string::npos, "plot: gnuplot drew no complete image");
  // The browser's own sans-serif where Helvetica is missing; no tooltips with gnuplot's own names.
  replace_all(svg, "font-family=\"Helvetica\"", "font-family=\"Helvetica, Arial, sans-serif\"");
  replace_all(svg, "<title>Gnuplot</title>", "");
  for (std::size_t at = 0; (at = svg.find("<title>gnuplot_", at)) != std::string::npos;) {
    svg.erase(at, svg.find("</title>", at) + 8 - at);
  }
  return svg;
}

Series histogram(std::string label, const std::vector<double>& values, int bins, double from, double to) {
  require(bins > 0 && from < to, "histogram '{}': {} bins from {} to {}", label, bins, from, to);
  Series series{
      .label = std::move(label), .x = {}, .y = std::vector<double>(static_cast<std::size_t>(bins)), .draw = Draw::bars};
  const double width = (to - from) / bins;
  for (int bin = 0; bin < bins; ++bin) series.x.push_back(from + (bin + 0.5) * width);
  for (const double value : values) {
    require(std::isfinite(value), "histogram '{}': holds {}", series.label, value);
    if (value < from || value > to) continue;
    const int bin = std::min(bins - 1, static_cast<int>((value - from) / width));
    series.y[static_cast<std::size_t>(bin)] += 1.0 / static_cast<double>(values.size());
  }
  return series;
}

}  // namespace tweedie::experiments
