#include "experiments/common/sweep.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "experiments/common/command_line.h"
#include "experiments/common/jobs.h"
#include "experiments/common/json_lines.h"
#include "experiments/common/log.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

constexpr std::size_t most_seeds = 1000;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t first = 0;;) {
    const std::size_t last = text.find(separator, first);
    parts.emplace_back(text.substr(first, last - first));
    if (last == std::string_view::npos) return parts;
    first = last + 1;
  }
}

std::uint64_t parse_seed(std::string_view text, std::string_view whole) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw UsageError(fmt::format("--seeds {}: '{}' is no seed; expected e.g. 0..4 or 0,3,7", whole, text));
  return value;
}

void require_no_repeats(std::vector<std::string> values, std::string_view what) {
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice != values.end()) throw UsageError(fmt::format("{}: {} is given twice", what, *twice));
}

/// What file systems take in a name, with everything else escaped, so that different values keep different names.
std::string file_word(std::string_view text) {
  std::string word;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+';
    if (plain)
      word += c;
    else if (c == ':')
      word += '_';
    else
      word += fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return word;
}

}  // namespace

void add_options(CommandLine& line, SweepOptions& options) {
  CLI::App& app = line.app();
  app.add_option("--seeds", options.seeds, "Seeds of the cells: 0..4, or 0,3,7")->type_name("LIST")->group("Sweep");
  app.add_option("--sweep", options.axes, "An option and its values, one cell each: key=a,b,c; may be repeated")
      ->type_name("KEY=A,B,...")
      ->group("Sweep");
}

std::vector<std::uint64_t> parse_seeds(std::string_view text) {
  std::vector<std::uint64_t> seeds;
  std::vector<std::string> names;
  for (const std::string& part : split(text, ',')) {
    const std::size_t dots = part.find("..");
    const std::uint64_t first = parse_seed(std::string_view(part).substr(0, dots), text);
    const std::uint64_t last =
        dots == std::string::npos ? first : parse_seed(std::string_view(part).substr(dots + 2), text);
    if (last < first || last - first >= most_seeds - seeds.size())
      throw UsageError(fmt::format("--seeds {}: expected rising ranges and at most {} seeds", text, most_seeds));
    for (std::uint64_t seed = first;; ++seed) {
      seeds.push_back(seed);
      names.push_back(std::to_string(seed));
      if (seed == last) break;
    }
  }
  require_no_repeats(names, fmt::format("--seeds {}", text));
  return seeds;
}

SweepAxis parse_axis(std::string_view text) {
  const std::size_t equals = text.find('=');
  const bool good = equals != std::string_view::npos && equals > 0;
  SweepAxis axis;
  if (good) axis = {std::string(text.substr(0, equals)), split(text.substr(equals + 1), ',')};
  if (axis.key.starts_with("--")) axis.key.erase(0, 2);
  if (!good || std::find(axis.values.begin(), axis.values.end(), "") != axis.values.end())
    throw UsageError(fmt::format("--sweep {}: expected an option and its values, e.g. subset=500,1000,2000", text));
  require_no_repeats(axis.values, fmt::format("--sweep {}", text));
  return axis;
}

std::vector<SweepAxis> merged_axes(std::vector<SweepAxis> own, const std::vector<std::string>& sweep) {
  std::vector<std::string> keys;
  for (const std::string& text : sweep) {
    SweepAxis axis = parse_axis(text);
    keys.push_back(axis.key);
    const auto same = std::find_if(own.begin(), own.end(), [&](const SweepAxis& a) { return a.key == axis.key; });
    if (same != own.end())
      *same = std::move(axis);
    else
      own.push_back(std::move(axis));
  }
  require_no_repeats(keys, "--sweep");
  return own;
}

std::string SweepCell::value(std::string_view key, std::string_view otherwise) const {
  for (const auto& [name, text] : values)
    if (name == key) return text;
  return std::string(otherwise);
}

std::string SweepCell::group() const {
  std::string text;
  for (const auto& [key, value] : values) text += (text.empty() ? "" : ",") + key + "=" + file_word(value);
  return text;
}

std::string SweepCell::name() const {
  const std::string others = group();
  return fmt::format("{}{}seed={}", others, others.empty() ? "" : ",", seed);
}

std::vector<SweepCell> sweep_cells(const std::vector<SweepAxis>& axes, const std::vector<std::uint64_t>& seeds) {
  std::vector<SweepCell> cells;
  for (const std::uint64_t seed : seeds) {
    std::vector<SweepCell> partial = {SweepCell{.values = {}, .seed = seed}};
    for (const SweepAxis& axis : axes) {
      std::vector<SweepCell> next;
      for (const SweepCell& cell : partial)
        for (const std::string& value : axis.values) {
          next.push_back(cell);
          next.back().values.emplace_back(axis.key, value);
        }
      partial = std::move(next);
    }
    cells.insert(cells.end(), partial.begin(), partial.end());
  }
  return cells;
}

std::vector<SweepCell> study_cells(const SweepStudy& study, const SweepOptions& options, CommandLine& line) {
  const auto given = [&](const std::string& key) {
    const CLI::Option* option = line.app().get_option_no_throw("--" + key);
    return option != nullptr && option->count() > 0 ? option->as<std::string>() : std::string();
  };
  std::vector<SweepAxis> axes = study.axes;
  for (SweepAxis& axis : axes)
    if (const std::string value = given(axis.key); !value.empty()) axis.values = {value};
  std::vector<SweepCell> cells = sweep_cells(merged_axes(std::move(axes), options.axes), parse_seeds(options.seeds));
  for (SweepCell& cell : cells)
    for (const auto& [key, value] : study.settings)
      if (given(key).empty() && cell.value(key).empty()) cell.settings.emplace_back(key, value);
  return cells;
}

void apply(const SweepCell& cell, CommandLine& line) {
  std::vector<std::pair<std::string, std::string>> all = cell.settings;
  all.insert(all.end(), cell.values.begin(), cell.values.end());
  for (const auto& [key, value] : all) {
    const CLI::Option* option = line.app().get_option_no_throw("--" + key);
    const std::string group = option != nullptr ? option->get_group() : "";
    if (group == "Run" || group == "Compute" || group == "Sweep")
      throw UsageError(
          fmt::format("--sweep {}: this option cannot be swept{}", key, key == "seed" ? "; give --seeds" : ""));
    try {
      line.set(key, value);
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("--sweep {}: {}", key, error.what()));
    }
  }
}

void check_cells(const std::vector<SweepCell>& cells, CommandLine& line) {
  if (cells.empty()) throw UsageError("--sweep and --seeds: no cell is left to compute");
  for (const SweepCell& cell : cells) apply(cell, line);
}

std::vector<nlohmann::ordered_json> run_sweep(const std::vector<SweepCell>& cells, CommandLine& line, RunFolder& folder,
                                              Progress& progress, Device device,
                                              const std::function<nlohmann::ordered_json(const SweepCell&)>& run_cell,
                                              const std::string& pass) {
  std::filesystem::create_directories(folder.cells());
  const auto cell_at = [&](std::int64_t i) -> const SweepCell& { return cells[static_cast<std::size_t>(i)]; };
  const auto file_of = [&](const SweepCell& cell) {
    return folder.cells() / fmt::format("{}{}{}.json", cell.name(), pass.empty() ? "" : ".", pass);
  };
  const auto count = static_cast<std::int64_t>(cells.size());
  {
    Progress::Stage stage(progress, pass.empty() ? "cells" : pass, count);
    run_jobs(
        count, device,
        [&](std::int64_t i) {
          const SweepCell& cell = cell_at(i);
          if (std::filesystem::exists(file_of(cell))) return;
          if (stop_requested()) stop("the finished cells are saved");
          apply(cell, line);
          const nlohmann::ordered_json result = run_cell(cell);
          require_finite(result, cell.name());
          io::write_file_atomic(file_of(cell), result.dump() + "\n");
        },
        [&](std::int64_t i) { stage.advance(1, cell_at(i).name()); });
  }
  std::vector<nlohmann::ordered_json> results;
  for (const SweepCell& cell : cells) {
    nlohmann::ordered_json result = nlohmann::ordered_json::parse(io::read_text(file_of(cell)), nullptr, false);
    require(result.is_object(), "{}: not the result of a cell; delete it to compute the cell again",
            file_of(cell).string());
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace tweedie::experiments
