#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

#include "diffusion/clustered_line.h"
#include "experiments/common/report.h"
#include "experiments/scaling_law/study.h"

namespace tweedie::experiments {

/// All that a run measured.
struct ScalingStudy {
  std::vector<SweepCell> cells;
  std::vector<nlohmann::ordered_json> results;  // of run_scaling_cell
  std::vector<ShiftPair> pairs;
  std::vector<nlohmann::ordered_json> shifts;  // of shift_between, with the other's seed, against_seed
  nlohmann::ordered_json features;             // of each judge: {name, description, n, frechet_floor, kernel_floor}
};
nlohmann::ordered_json features_of(const Judges& judges);

/// One look at one network.
struct LookPoint {
  std::string network, run;  // run: the cell's name
  std::uint64_t seed = 0;
  const nlohmann::ordered_json* look = nullptr;
};
/// Networks of one kind, aligned with one weight.
struct Family {
  std::string family;
  double alignment = 0.0;
  std::vector<LookPoint> points;
  std::string label() const;
};
/// In the order of their first cells, the unaligned ones first.
std::vector<Family> families_of(const ScalingStudy& study);

/// A number of a look, as an axis has it.
struct Quantity {
  std::string key;           // "sup_loss", "flops", "frechet" ...
  bool logarithmic = false;  // its decimal logarithm is what a line is fitted to
  double of(const LookPoint& point) const;
};

/// The fitted line of one family, drawn at `x` (of the axis, not its logarithm) with its interval.
struct FamilyLine {
  ClusteredLine line;  // `at` belongs to x
  std::vector<double> x;
};
/// None below two networks or three looks.
std::optional<FamilyLine> line_of(const Family& family, const Quantity& x, const Quantity& y);

/// The slopes of a line for each seed, with Student's interval; none for fewer than two seeds with three looks.
std::optional<Estimate> slope_over_seeds(const Family& family, const Quantity& x, const Quantity& y);

/// y of two families at one x, from a line for each seed: in the middle of the x that both have. The difference is that
/// of y (not its logarithm), second - first, paired by seed, with Student's interval.
struct Comparison {
  double x = 0.0, first = 0.0, second = 0.0;  // means over seeds
  Estimate difference;
};
/// None where the families share no x or fewer than two seeds.
std::optional<Comparison> compare_at_equal(const Quantity& x, const Quantity& y, const Family& first,
                                           const Family& second);
/// `family` without the networks that `other` has not.
Family restricted_to(const Family& family, const Family& other);

/// The distances that networks are judged by, the first one first, and in what they are taken.
struct Distance {
  Quantity quantity;
  std::string features;
};
std::vector<Distance> distances_of(const ScalingStudy& study);
/// Pairs of families that claims compare: unaligned ones with each other, in the order conv U-Net, attention U-Net,
/// transformer, others; then each aligned one with the unaligned one of its networks.
std::vector<std::pair<Family, Family>> compared_pairs(const std::vector<Family>& families);

/// results.json: `features`, `cells` (one row a look), `fits`, `efficiency`, `shift`, `claims`.
nlohmann::ordered_json results_of(const ScalingStudy& study);
/// What the run says of each claim; those for which it has fewer than two seeds are left out.
std::vector<Claim> claims_of(const ScalingStudy& study);
Report page_of(const ScalingStudy& study, const RunFolder& folder);

}  // namespace tweedie::experiments
