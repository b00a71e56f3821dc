#pragma once

#include <string>

namespace tweedie::experiments {

/// Runs gnuplot on a script and returns what it writes to standard output. Throws Error with gnuplot's own complaint,
/// or naming the Debian package where there is no gnuplot.
std::string run_gnuplot(const std::string& script);

/// A string of a gnuplot script that shows as `text` in enhanced text mode, quotes included.
std::string gnuplot_text(const std::string& text);

}  // namespace tweedie::experiments
