#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "experiments/common/report.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {

/// All that one study found.
struct StudyOutcome {
  StudyPlan plan;
  std::vector<nlohmann::ordered_json> looks;
  std::string examined;  // the network whose score the instruments examined
  Findings findings;
  std::vector<double> trace_by_level, norm_by_level;  // baselines at the supervised states
};

/// The rows of results.json's `contrastive`, from all looks.
nlohmann::ordered_json contrastive_rows(const std::vector<nlohmann::ordered_json>& looks);

/// Trends and gaps of a study with their intervals.
std::vector<Claim> claims_of(const StudyOutcome& outcome);

void add_study(Report& report, const StudyOutcome& outcome);

}  // namespace tweedie::experiments
