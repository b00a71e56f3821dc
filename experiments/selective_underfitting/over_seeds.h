#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "diffusion/memorization.h"
#include "diffusion/statistics.h"
#include "experiments/common/report.h"

namespace tweedie::experiments {

// Numbers of several independently trained networks, one a seed, as one number. With several seeds intervals are
// Student's over seeds, which is what a further seed would vary by; with one they are those within it (over evaluation
// points or samples), from which a claim gets no verdict (report.h: judged).

/// Of one estimate a seed. n stays that of a seed.
Estimate over_seeds(std::span<const Estimate> by_seed);
/// Of something of each seed: over_seeds(looks, [](const Look& look) { return look.copies; }).
template <typename Item, typename Of>
Estimate over_seeds(const std::vector<Item>& items, const Of& of) {
  std::vector<Estimate> each;
  for (const Item& item : items) each.push_back(std::invoke(of, item));
  return over_seeds(std::span<const Estimate>(each));
}
MemorisedEstimates over_seeds(std::span<const MemorisedEstimates> by_seed);
/// after - before, paired by seed; with one seed as far as their two intervals allow.
Estimate difference_over_seeds(std::span<const Estimate> after, std::span<const Estimate> before);

/// Last over first error, from errors by sample, one list a seed: over the seeds' log ratios, or a paired bootstrap
/// over evaluation points.
struct Change {
  double ratio = 0.0, low = 0.0, high = 0.0;
};
Change change_of(const std::vector<std::vector<double>>& first, const std::vector<std::vector<double>>& last);

/// The standard error of a share of n.
double share_error(double share, std::int64_t n);

/// What such an interval is, in words: `alone` where there is one seed.
std::string interval_meaning(std::size_t seeds, const std::string& alone);

/// Whether the whole interval lies on the expected side of 1, on the other, or on both.
Verdict trend(const Change& change, bool expected_to_rise);
/// Reproduced where it `holds`, contradicted where it `fails`, neither between.
Verdict verdict_of(bool holds, bool fails);
/// A claim about such a number; the interval's meaning follows the note.
Claim claim_over_seeds(std::string statement, std::string effect_name, const Estimate& estimate, Verdict verdict,
                       std::size_t seeds, const std::string& note = "",
                       const std::string& alone = "bootstrap over samples");

/// "0.123 (0.100 to 0.150)".
std::string with_interval(const Estimate& estimate);

}  // namespace tweedie::experiments
