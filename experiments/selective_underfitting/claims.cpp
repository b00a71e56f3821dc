#include <algorithm>
#include <cmath>

#include "diffusion/statistics.h"
#include "experiments/selective_underfitting/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

const Json* region_of(const Json& look, const std::string& region, const std::string& weights) {
  for (const Json& entry : look.at("regions"))
    if (entry.at("region") == region && entry.at("weights") == weights) return &entry;
  return nullptr;
}

/// Errors by sample of a region at a step, one list a seed.
std::vector<std::vector<double>> by_seed(const StudyOutcome& outcome, const std::string& network, std::int64_t step,
                                         const std::string& region) {
  std::vector<std::vector<double>> lists;
  for (const Json& look : outcome.looks)
    if (look.at("model") == network && look.at("step") == step)
      if (const Json* entry = region_of(look, region, "ema"))
        lists.push_back(entry->at("by_sample").get<std::vector<double>>());
  return lists;
}

void trend_claims(const StudyOutcome& outcome, const std::string& network, std::vector<Claim>& claims) {
  const auto [first, last] = std::minmax_element(outcome.plan.checkpoints.begin(), outcome.plan.checkpoints.end());
  if (*first == *last) return;
  const auto add = [&](const std::string& region, const std::string& what, bool rise) {
    const auto before = by_seed(outcome, network, *first, region), after = by_seed(outcome, network, *last, region);
    if (before.empty() || before.size() != after.size()) return;
    const Change change = change_of(before, after);
    claims.push_back({.statement = fmt::format("{}: the {} error {} with training ({})", network, what,
                                               rise ? "rises" : "falls", outcome.plan.data.data),
                      .verdict = trend(change, rise),
                      .effect_name = fmt::format("error at step {} / at step {}", *last, *first),
                      .effect = change.ratio,
                      .low = change.low,
                      .high = change.high,
                      .n = outcome.plan.probes,
                      .seeds = static_cast<int>(before.size()),
                      .note = interval_meaning(before.size())});
  };
  add("sup", "supervised", false);
  add("ext", "extrapolated", true);
}

void gap_claim(const StudyOutcome& outcome, const std::string& network, std::vector<Claim>& claims) {
  const std::int64_t last = *std::max_element(outcome.plan.checkpoints.begin(), outcome.plan.checkpoints.end());
  const auto sup = by_seed(outcome, network, last, "sup"), ext = by_seed(outcome, network, last, "ext");
  if (sup.empty() || sup.size() != ext.size()) return;
  const Change gap = change_of(sup, ext);
  claims.push_back({.statement = fmt::format("{}: the extrapolated error is above the supervised one ({})", network,
                                             outcome.plan.data.data),
                    .verdict = trend(gap, true),
                    .effect_name = fmt::format("extrapolated / supervised error at step {}", last),
                    .effect = gap.ratio,
                    .low = gap.low,
                    .high = gap.high,
                    .n = outcome.plan.probes,
                    .seeds = static_cast<int>(sup.size()),
                    .note = interval_meaning(sup.size())});
}

void shell_claim(const StudyOutcome& outcome, std::vector<Claim>& claims) {
  const auto curve = [&](const std::string& source) {
    return std::find_if(outcome.findings.shells.begin(), outcome.findings.shells.end(),
                        [&](const ShellCurve& c) { return c.source == source; });
  };
  const auto sup = curve("sup"), ext = curve("ext");
  const auto level = std::find_if(ext->t.begin(), ext->t.end(), [](double t) { return std::abs(t - 0.2) < 1e-9; });
  if (level == ext->t.end()) return;
  const auto at = static_cast<std::size_t>(level - ext->t.begin());
  const bool apart = ext->q05[at] > sup->q95[at];
  claims.push_back(
      {.statement = fmt::format("Sampler states leave the shells that training supervises: r* at t = 0.2 ({})",
                                outcome.plan.data.data),
       .verdict = apart ? Verdict::reproduced : Verdict::not_at_this_scale,
       .effect_name = "median r* of sampler states",
       .effect = ext->q50[at],
       .low = ext->q05[at],
       .high = ext->q95[at],
       .n = outcome.plan.probes,
       .seeds = 1,
       .note = fmt::format("5-95 % of states; training states {:.3f} ({:.3f} to {:.3f})", sup->q50[at], sup->q05[at],
                           sup->q95[at])});
}

void restart_claim(const StudyOutcome& outcome, std::vector<Claim>& claims) {
  const RestartCurve& curve = outcome.findings.restart;
  double low_t = 0.0, high_t = 1.0;
  for (std::size_t i = 0; i < curve.t.size(); ++i) {
    if (curve.recovered[i] >= 0.95) low_t = std::max(low_t, curve.t[i]);
    if (curve.recovered[i] <= 0.05) high_t = std::min(high_t, curve.t[i]);
  }
  claims.push_back(
      {.statement = fmt::format("Restarts find their training image below a transition and lose it above ({})",
                                outcome.plan.data.data),
       .verdict = low_t > 0.0 && high_t > low_t && curve.recovered.back() <= 0.05 ? Verdict::reproduced
                                                                                  : Verdict::not_at_this_scale,
       .effect_name = "t where half are recovered",
       .effect = 0.5 * (low_t + high_t),
       .low = low_t,
       .high = high_t,
       .n = curve.n,
       .seeds = 1,
       .note = "from the last t with at least 95 % recovered to the first with at most 5 %"});
}

}  // namespace

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

std::string interval_meaning(std::size_t seeds) {
  return seeds > 1 ? fmt::format("Student's 95 % interval over {} paired seeds", seeds)
                   : "bootstrap over evaluation points, one seed";
}

Verdict trend(const Change& change, bool expected_to_rise) {
  const bool rises = change.low > 1.0, falls = change.high < 1.0;
  if (expected_to_rise ? rises : falls) return Verdict::reproduced;
  if (expected_to_rise ? falls : rises) return Verdict::contradicted;
  return Verdict::not_at_this_scale;
}

Json contrastive_rows(const std::vector<Json>& looks) {
  Json rows = Json::array();
  for (const Json& look : looks)
    for (const Json& region : look.at("regions"))
      rows.push_back({{"data", look.at("data")},
                      {"model", look.at("model")},
                      {"seed", look.at("seed")},
                      {"step", look.at("step")},
                      {"flops", look.at("flops")},
                      {"weights", region.at("weights")},
                      {"region", region.at("region")},
                      {"error", region.at("error")},
                      {"v_error", region.at("v_error")},
                      {"se", region.at("se")},
                      {"n", region.at("n")}});
  return rows;
}

std::vector<Claim> claims_of(const StudyOutcome& outcome) {
  std::vector<Claim> claims;
  for (const std::string& network : outcome.plan.networks) {
    trend_claims(outcome, network, claims);
    gap_claim(outcome, network, claims);
  }
  shell_claim(outcome, claims);
  restart_claim(outcome, claims);
  return claims;
}

}  // namespace tweedie::experiments
