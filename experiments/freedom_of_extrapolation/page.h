#pragma once

#include <nlohmann/json.hpp>

#include <vector>

#include "experiments/common/cell_study.h"
#include "experiments/common/report.h"

namespace tweedie::experiments {

class RunFolder;

/// Cells with their results: regions grown under the plain source and one target, and the controls.
struct RegionStudy {
  std::vector<SweepCell> cells;
  std::vector<nlohmann::ordered_json> results;
};

/// A control is a cell whose states or targets are not those of the region experiment itself.
bool is_control(const nlohmann::ordered_json& result);

/// results.json: `cells`, `controls` (the same fields and source, target), `region` (memorisation against all images of
/// the region), `claims`.
nlohmann::ordered_json results_of(const RegionStudy& study);
/// What the run says of each claim; those for which it has fewer than two seeds are left out.
std::vector<Claim> claims_of(const RegionStudy& study);
Report page_of(const RegionStudy& study, const RunFolder& folder);

}  // namespace tweedie::experiments
