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
  /// Of each cell, or empty: {heldout, heldout_se, train, train_se, n}, bits a dimension.
  std::vector<nlohmann::ordered_json> likelihoods;
};

/// Where likelihoods are taken: the density that sampling from noise down to this level has.
constexpr double likelihood_level = 0.05;
/// Negative log2-likelihood a dimension (differential, so it may be below 0) of `count` held-out and as many training
/// images (or all, where they are fewer) under a finished cell's averaged weights: 40 Runge-Kutta steps of the
/// probability-flow ODE, the exact trace in up to 16 dimensions and Hutchinson's estimate above.
nlohmann::ordered_json likelihood_of(const SweepCell& cell, const CellGround& ground, std::int64_t count, Device device,
                                     const RunFolder& folder);

/// What that asks of a network, in training samples (a forward and a backward pass).
double likelihood_samples(std::int64_t count);

/// Adds the curve of the score set that `options` name, unless it is there.
void add_trace(VarianceStudy& study, const CellOptions& options, const CellGround& ground);

/// The dial's position of a target: "dsm", "1", "4", "16", "inf", "batch".
std::string dial_of(const std::string& target);

/// results.json: `cells`, `trace`, `likelihood` and `claims`.
nlohmann::ordered_json results_of(const VarianceStudy& study);
/// Differences along the dial, paired by seed; those with fewer than two seeds are left out.
std::vector<Claim> claims_of(const VarianceStudy& study);
Report page_of(const VarianceStudy& study, const RunFolder& folder);

}  // namespace tweedie::experiments
