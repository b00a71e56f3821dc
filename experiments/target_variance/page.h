#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "experiments/common/cell_study.h"
#include "experiments/common/report.h"

namespace tweedie::experiments {

class RunFolder;

/// Size of the conditional target's noise at noised images of one score set, by noise level.
struct TraceCurve {
  std::string data;
  std::int64_t count = 0;                      // N
  std::vector<double> t, sigma, log_snr;       // levels
  std::vector<double> trace, norm, effective;  // sigma^2 tr C / d; sigma^2 |s*|^2 / d; exp of the mean entropy
};

struct VarianceStudy {
  std::vector<SweepCell> cells;
  std::vector<nlohmann::ordered_json> results;
  std::vector<TraceCurve> traces;  // one a score set
};

/// Adds the curve of the score set that `options` name, unless it is there.
void add_trace(VarianceStudy& study, const CellOptions& options, const CellGround& ground);

/// The dial's position of a target: "dsm", "1", "4", "16", "inf", "batch".
std::string dial_of(const std::string& target);

/// results.json: `cells`, `trace` and `claims`.
nlohmann::ordered_json results_of(const VarianceStudy& study);
/// Differences along the dial, paired by seed; those with fewer than two seeds are left out.
std::vector<Claim> claims_of(const VarianceStudy& study);
Report page_of(const VarianceStudy& study, const RunFolder& folder);

}  // namespace tweedie::experiments
