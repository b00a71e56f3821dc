#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "diffusion/statistics.h"
#include "experiments/common/report.h"
#include "kernels/runtime/device.h"

namespace tweedie::experiments {

class CommandLine;
class Progress;
class RunFolder;

// Many cells of one experiment in one run: every combination of the swept options' values, for each seed. A binary
// declares the axes it sweeps by default; --sweep replaces or adds axes, --seeds says which seeds. Each cell's result
// is kept in the run folder as soon as it is there, so an interrupted sweep goes on at the first missing cell.
//
//   const auto cells = study_cells({.axes = {{"target", {"conditional", "exact"}}}}, options.sweep, line);
//   check_cells(cells, line);
//   const auto results = run_sweep(cells, line, folder, progress, device, [&](const SweepCell& cell) { return ...; });

/// What --seeds and --sweep hold.
struct SweepOptions {
  std::string seeds;              // as parse_seeds takes it
  std::vector<std::string> axes;  // as parse_axis takes them
};
/// `seeds` as set before is the default.
void add_options(CommandLine& line, SweepOptions& options);

/// "0..4" (both ends included), "7", "0,3,7" or a mixture of these. Throws UsageError for anything else, for a seed
/// given twice and for more than a thousand.
std::vector<std::uint64_t> parse_seeds(std::string_view text);

/// An option (without its dashes) and the values it takes in turn.
struct SweepAxis {
  std::string key;
  std::vector<std::string> values;
};
/// "key=a,b,c". Throws UsageError for anything else and for a value given twice.
SweepAxis parse_axis(std::string_view text);
/// An experiment's own axes with those of --sweep: one of the same key takes its place, others follow.
std::vector<SweepAxis> merged_axes(std::vector<SweepAxis> own, const std::vector<std::string>& sweep);

struct SweepCell {
  std::vector<std::pair<std::string, std::string>> values;  // of each axis, in the order of the axes
  std::uint64_t seed = 0;
  std::vector<std::pair<std::string, std::string>> settings = {};  // more options of this cell, not part of its name

  /// Of the axis `key`, or `otherwise` where it is not swept.
  std::string value(std::string_view key, std::string_view otherwise = "") const;
  /// "network=unet_8x1,subset=500,seed=3": fit for a file's name, and different for different cells.
  std::string name() const;
  /// The same but for the seed.
  std::string group() const;
};
/// All combinations: the seeds outermost (so that one seed's picture is whole before the next begins), the last axis
/// innermost.
std::vector<SweepCell> sweep_cells(const std::vector<SweepAxis>& axes, const std::vector<std::uint64_t>& seeds);

/// A grid of an experiment's own: options that hold in all of its cells, and its axes.
struct SweepStudy {
  std::vector<std::pair<std::string, std::string>> settings = {};
  std::vector<SweepAxis> axes = {};
};
/// The cells of a study as the command line changes it: an axis of --sweep replaces the study's own or joins it, and an
/// option that was given by itself replaces the study's axis or setting. Studies whose cells run beside each other must
/// set the same options. Call before any cell is applied.
std::vector<SweepCell> study_cells(const SweepStudy& study, const SweepOptions& options, CommandLine& line);

/// Sets the options of `line` to the cell's settings and values. Throws UsageError as CommandLine::set does, and for
/// options that a sweep cannot vary (those of the groups Run, Compute and Sweep).
void apply(const SweepCell& cell, CommandLine& line);
/// Applies every cell once, to find a mistake before any work; the last one's values remain.
void check_cells(const std::vector<SweepCell>& cells, CommandLine& line);

/// The results of all cells, in order: read back from the folder where an earlier run finished them, else computed by
/// `run_cell` with the cell's options applied, and kept; on the cpu several cells at a time, each in a process of its
/// own (run_jobs). `pass` names a further result of each cell, computed in a pass of its own; the main one has none.
std::vector<nlohmann::ordered_json> run_sweep(const std::vector<SweepCell>& cells, CommandLine& line, RunFolder& folder,
                                              Progress& progress, Device device,
                                              const std::function<nlohmann::ordered_json(const SweepCell&)>& run_cell,
                                              const std::string& pass = "");

/// Work that cells share (data, features, an encoder), done when it is first asked for and kept while this lives.
template <typename Value>
class Shared {
 public:
  template <typename Make>
  Value& get(const std::string& key, const Make& make) {
    const auto found = values_.find(key);
    return found != values_.end() ? found->second : values_.emplace(key, make()).first->second;
  }

 private:
  std::map<std::string, Value> values_;
};

/// A number in every cell's result, by JSON pointer ("/memorised/sqrt_m_third").
struct SweepMeasure {
  std::string pointer;
  std::string label;  // with units
  bool logarithmic = false;
};

/// One row a combination of the axes: each measure as mean ± standard error over seeds. Cells whose result lacks a
/// measure leave its place empty.
Table sweep_table(const std::vector<SweepCell>& cells, const std::vector<nlohmann::ordered_json>& results,
                  const std::vector<SweepMeasure>& measures);

/// One measure against the values of the axis `x`, a line for each combination of the other axes; bars are standard
/// errors over seeds. Values that are all numbers stand at their place, others side by side.
Panel sweep_panel(const std::vector<SweepCell>& cells, const std::vector<nlohmann::ordered_json>& results,
                  const SweepMeasure& measure, const std::string& x, bool logarithmic_x = false);

/// Cells by the values of some axes: {{"target", "exact"}, {"subset", "500"}}.
using CellFilter = std::vector<std::pair<std::string, std::string>>;
/// The mean of a measure's difference `after` - `before` over the seeds that both have, with Student's 95 % interval;
/// n counts the seeds. Throws Error below two of them.
Estimate seed_difference(const std::vector<SweepCell>& cells, const std::vector<nlohmann::ordered_json>& results,
                         const std::string& pointer, const CellFilter& after, const CellFilter& before);

/// What a claim expects of a difference; `anything` makes no verdict of it.
enum class Expected : std::uint8_t { rise, fall, no_change, anything };
/// A claim about such a difference: it holds where the interval lies wholly on the expected side of zero (for
/// no_change: where it holds zero), is contradicted on the other side, and is not decided at this scale between them.
/// Where no_change is expected and every seed gave zero exactly (fractions that are 0 or 1 throughout) there is no
/// verdict.
Claim difference_claim(std::string statement, std::string effect_name, const Estimate& difference, Expected expected,
                       std::int64_t points);

}  // namespace tweedie::experiments
