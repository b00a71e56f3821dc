#include "experiments/selective_underfitting/over_seeds.h"

#include <cmath>

#include "kernels/runtime/error.h"

namespace tweedie::experiments {

Estimate over_seeds(std::span<const Estimate> by_seed) {
  require(!by_seed.empty(), "a number over seeds: there is no seed");
  if (by_seed.size() == 1) return by_seed.front();
  std::vector<double> values;
  for (const Estimate& each : by_seed) values.push_back(each.value);
  Estimate estimate = student_estimate(values);
  estimate.n = by_seed.front().n;
  return estimate;
}

MemorisedEstimates over_seeds(std::span<const MemorisedEstimates> by_seed) {
  MemorisedEstimates all;
  for (const auto member :
       {&MemorisedEstimates::m_third, &MemorisedEstimates::sqrt_m_third, &MemorisedEstimates::sqrt_m_half,
        &MemorisedEstimates::nn_ratio_third, &MemorisedEstimates::correlation})
    all.*member = over_seeds(std::vector(by_seed.begin(), by_seed.end()), member);
  return all;
}

Estimate difference_over_seeds(std::span<const Estimate> after, std::span<const Estimate> before) {
  require(after.size() == before.size(), "a difference over seeds: {} and {} seeds", after.size(), before.size());
  std::vector<Estimate> differences;
  for (std::size_t i = 0; i < after.size(); ++i)
    differences.push_back({.value = after[i].value - before[i].value,
                           .low = after[i].low - before[i].high,
                           .high = after[i].high - before[i].low,
                           .n = after[i].n});
  return over_seeds(differences);
}

Change change_of(const std::vector<std::vector<double>>& first, const std::vector<std::vector<double>>& last) {
  if (first.size() == 1) {
    const Estimate estimate = paired_ratio(last[0], first[0]);
    return {estimate.value, estimate.low, estimate.high};
  }
  std::vector<double> logs;
  for (std::size_t i = 0; i < first.size(); ++i) logs.push_back(std::log(mean(last[i]) / mean(first[i])));
  const Estimate change = student_estimate(logs);
  return {std::exp(change.value), std::exp(change.low), std::exp(change.high)};
}

double share_error(double share, std::int64_t n) {
  return std::sqrt(share * (1.0 - share) / static_cast<double>(n));
}

std::string interval_meaning(std::size_t seeds, const std::string& alone) {
  return seeds > 1 ? fmt::format("Student's 95 % interval over {} seeds", seeds) : alone;
}

Verdict trend(const Change& change, bool expected_to_rise) {
  const bool rises = change.low > 1.0, falls = change.high < 1.0;
  return expected_to_rise ? verdict_of(rises, falls) : verdict_of(falls, rises);
}

Verdict verdict_of(bool holds, bool fails) {
  return holds ? Verdict::reproduced : fails ? Verdict::contradicted : Verdict::not_at_this_scale;
}

Claim claim_over_seeds(std::string statement, std::string effect_name, const Estimate& estimate, Verdict verdict,
                       std::size_t seeds, const std::string& note, const std::string& alone) {
  return {.statement = std::move(statement),
          .verdict = verdict,
          .effect_name = std::move(effect_name),
          .effect = estimate.value,
          .low = estimate.low,
          .high = estimate.high,
          .n = estimate.n,
          .seeds = static_cast<int>(seeds),
          .note = note + (note.empty() ? "" : "; ") + interval_meaning(seeds, alone)};
}

std::string with_interval(const Estimate& estimate) {
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", estimate.value, estimate.low, estimate.high);
}

}  // namespace tweedie::experiments
