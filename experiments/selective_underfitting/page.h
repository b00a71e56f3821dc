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

/// Last over first error with a 95 % interval, from errors by sample, one list a seed. With several seeds the interval
/// is Student's over the seeds' log ratios, which is what a further seed would vary by; with one it is a bootstrap over
/// evaluation points.
struct Change {
  double ratio = 0.0, low = 0.0, high = 0.0;
};
Change change_of(const std::vector<std::vector<double>>& first, const std::vector<std::vector<double>>& last);
std::string interval_meaning(std::size_t seeds);
/// Whether the whole interval lies on the expected side of 1, on the other, or on both.
Verdict trend(const Change& change, bool expected_to_rise);

/// The rows of results.json's `contrastive`, from all looks.
nlohmann::ordered_json contrastive_rows(const std::vector<nlohmann::ordered_json>& looks);

/// Trends and gaps of a study with their intervals.
std::vector<Claim> claims_of(const StudyOutcome& outcome);

void add_study(Report& report, const StudyOutcome& outcome);

}  // namespace tweedie::experiments
