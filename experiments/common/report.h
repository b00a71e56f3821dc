#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "experiments/common/plot.h"

namespace tweedie::experiments {

class CommandLine;

/// What became of a published or stated claim in this run.
enum class Verdict : std::uint8_t { reproduced, not_at_this_scale, contradicted, as_measured };
/// "reproduced", "not at this scale", "contradicted", "as measured".
std::string_view name_of(Verdict verdict);

/// One claim with its measured effect: its size, an interval, and what that interval is taken over.
struct Claim {
  std::string statement = {};
  Verdict verdict = Verdict::as_measured;
  std::string effect_name = {};  // what the number is, with units: "ext error, last / first checkpoint"
  double effect = 0;
  double low = 0, high = 0;
  std::int64_t n = 0;  // evaluation points
  int seeds = 0;       // independently trained models that the interval is taken over; 0 where none was trained
  std::string note = {};
};
/// The claim with the verdict that its seeds allow, which is what rows, tallies and pages show. Claims about trained
/// models need two of them, from different seeds: with one there is no verdict, whatever `verdict` holds. An interval
/// of no width over seeds keeps its verdict and says that every seed gave the same. The note says either.
Claim judged(Claim claim);
/// A row of results.json's `claims`.
nlohmann::ordered_json claim_json(const Claim& claim);
/// How many claims hold, do not show and are contradicted, as a sentence with a space before it; "" where none has a
/// verdict.
std::string tally_of(const std::vector<Claim>& claims);

struct Table {
  std::vector<std::string> columns = {};
  std::vector<std::vector<std::string>> rows = {};
};

/// A PNG image and what stands below it. `width` in CSS pixels; 0 shows it at its own size. Small images are shown
/// with their pixels sharp.
struct Picture {
  std::vector<std::byte> png = {};
  std::string caption = {};
  int width = 0;
};
/// Throws Error when the file cannot be read or is no PNG image.
Picture picture_from_file(const std::filesystem::path& path, std::string caption, int width = 0);

/// The page a run leaves behind: one file that needs nothing else. All text is taken as it is (nothing in it is
/// markup); parts appear in the order in which they were added.
class Report {
 public:
  Report(std::string title, std::string summary);

  /// The table under the summary: device, precision, threads, revision, seed, command ...
  void facts(const std::vector<std::pair<std::string, std::string>>& rows);
  void section(const std::string& title);
  void text(const std::string& paragraph);
  void plot(const Plot& plot, const std::string& caption);
  void table(const Table& table, const std::string& caption);
  void gallery(const std::vector<Picture>& pictures, const std::string& caption);
  void claims(const std::vector<Claim>& claims, const std::string& caption);

  std::string html() const;
  /// Atomically. Throws Error naming the path.
  void write(const std::filesystem::path& path) const;

 private:
  std::string figure_caption(const char* kind, int number, const std::string& caption) const;
  std::string title_, summary_, facts_, body_;
  std::vector<std::string> sections_;
  int figures_ = 0, tables_ = 0;
};

/// Rows for Report::facts that every run has: command, device, precision, algorithms, threads, seed, revision, build,
/// host, date.
std::vector<std::pair<std::string, std::string>> run_facts(const CommandLine& line, const std::string& device,
                                                           const std::string& precision, std::uint64_t seed);

}  // namespace tweedie::experiments
