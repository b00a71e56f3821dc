#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "experiments/common/report.h"
#include "experiments/selective_underfitting/over_seeds.h"
#include "experiments/selective_underfitting/study.h"

namespace tweedie::experiments {

/// All that one study found.
struct StudyOutcome {
  StudyPlan plan;
  std::vector<nlohmann::ordered_json> looks;
  std::string examined;  // the network whose scores the instruments examined
  OverlapCurve overlap;
  std::vector<Findings> findings;   // one a seed
  std::vector<Baseline> baselines;  // at the supervised states
};

/// The rows of results.json's `contrastive`, from all looks.
nlohmann::ordered_json contrastive_rows(const StudyOutcome& outcome);

/// The t at which half of the restarts still find their image, between levels by a straight line.
double restart_transition(const RestartCurve& curve);

/// Trends, gaps, shells and restarts of a study with their intervals.
std::vector<Claim> claims_of(const StudyOutcome& outcome);

void add_study(Report& report, const StudyOutcome& outcome);

/// Plans of one sweep beside each other: `sweep`'s rows of results.json, one a plan, network and seed, and their table
/// and figure.
nlohmann::ordered_json sweep_rows(const std::vector<StudyOutcome>& outcomes);
void add_sweep(Report& report, const std::vector<StudyOutcome>& outcomes);

}  // namespace tweedie::experiments
