#include <algorithm>
#include <cmath>
#include <optional>

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

Estimate estimate_of(const Change& change, std::int64_t n) {
  return {.value = change.ratio, .low = change.low, .high = change.high, .n = n};
}

void trend_claims(const StudyOutcome& outcome, const std::string& network, std::vector<Claim>& claims) {
  const auto [first, last] = std::minmax_element(outcome.plan.checkpoints.begin(), outcome.plan.checkpoints.end());
  if (*first == *last) return;
  const auto add = [&](const std::string& region, const std::string& what, bool rise) {
    const auto before = by_seed(outcome, network, *first, region), after = by_seed(outcome, network, *last, region);
    if (before.empty() || before.size() != after.size()) return;
    const Change change = change_of(before, after);
    claims.push_back(claim_over_seeds(fmt::format("{}: the {} error {} with training ({})", network, what,
                                                  rise ? "rises" : "falls", outcome.plan.label),
                                      fmt::format("error at step {} / at step {}", *last, *first),
                                      estimate_of(change, outcome.plan.probes), trend(change, rise), before.size(), "",
                                      "bootstrap over evaluation points"));
  };
  add("sup", "supervised", false);
  add("ext", "extrapolated", true);
}

void gap_claim(const StudyOutcome& outcome, const std::string& network, std::vector<Claim>& claims) {
  const std::int64_t last = *std::max_element(outcome.plan.checkpoints.begin(), outcome.plan.checkpoints.end());
  const auto sup = by_seed(outcome, network, last, "sup"), ext = by_seed(outcome, network, last, "ext");
  if (sup.empty() || sup.size() != ext.size()) return;
  const Change gap = change_of(sup, ext);
  claims.push_back(claim_over_seeds(
      fmt::format("{}: the extrapolated error is above the supervised one ({})", network, outcome.plan.label),
      fmt::format("extrapolated / supervised error at step {}", last), estimate_of(gap, outcome.plan.probes),
      trend(gap, true), sup.size(), "", "bootstrap over evaluation points"));
}

/// One number a seed: the median r* of its sampler's states at t = 0.2.
void shell_claim(const StudyOutcome& outcome, std::vector<Claim>& claims) {
  const ShellCurve& sup = outcome.findings.front().supervised;  // the same states for every seed
  const auto level = std::find_if(sup.t.begin(), sup.t.end(), [](double t) { return std::abs(t - 0.2) < 1e-9; });
  if (level == sup.t.end()) return;
  const auto at = static_cast<std::size_t>(level - sup.t.begin());
  const Estimate median = over_seeds(outcome.findings, [&](const Findings& findings) {
    const ShellCurve& ext = findings.extrapolated;
    return Estimate{.value = ext.q50[at], .low = ext.q05[at], .high = ext.q95[at], .n = outcome.plan.probes};
  });
  claims.push_back(
      claim_over_seeds(fmt::format("{}: sampler states leave the shells that training supervises, r* at t = 0.2 ({})",
                                   outcome.examined, outcome.plan.label),
                       "median r* of sampler states", median,
                       verdict_of(median.low > sup.q95[at], median.high < sup.q95[at]), outcome.findings.size(),
                       fmt::format("to be above {:.3f}, the 95 % quantile of training states, whose median is {:.3f}",
                                   sup.q95[at], sup.q50[at]),
                       "5-95 % of states"));
}

/// Where y, over rising t, first passes 1/2 (`rising` or falling), by a straight line; the last t where it never does.
double half_way(const std::vector<double>& t, const std::vector<double>& y, bool rising) {
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (rising ? y[i] < 0.5 : y[i] > 0.5) continue;
    return i == 0 ? t[0] : t[i - 1] + (t[i] - t[i - 1]) * (0.5 - y[i - 1]) / (y[i] - y[i - 1]);
  }
  return t.back();
}

/// The mean share of restarts that find their image, over the levels in (from, to]; t = 0, where nothing is done to an
/// image, says nothing. With one seed its range over levels.
std::optional<Estimate> share_between(const RestartCurve& curve, double from, double to) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < curve.t.size(); ++i)
    if (curve.t[i] > from + 1e-9 && curve.t[i] <= to + 1e-9) shares.push_back(curve.recovered[i]);
  if (shares.empty()) return {};
  return Estimate{.value = mean(shares),
                  .low = *std::min_element(shares.begin(), shares.end()),
                  .high = *std::max_element(shares.begin(), shares.end()),
                  .n = curve.n};
}

/// Restarts against the overlap of shells: about all find their image below the level where the overlap of the closest
/// pair passes 1/2, about none above (Song et al., section 4.2).
void restart_claims(const StudyOutcome& outcome, std::vector<Claim>& claims) {
  const std::size_t seeds = outcome.findings.size();
  const OverlapCurve& overlap = outcome.overlap;
  const double closest = half_way(overlap.t, overlap.max, true), near = half_way(overlap.t, overlap.q99, true);
  const auto about = [&](const std::string& what) {
    return fmt::format("{}: {} ({})", outcome.examined, what, outcome.plan.label);
  };
  const Estimate transition = over_seeds(outcome.findings, [](const Findings& findings) {
    const double t = restart_transition(findings.restart);
    return Estimate{.value = t, .low = t, .high = t, .n = findings.restart.n};
  });
  claims.push_back(claim_over_seeds(
      about("the level at which half of the restarts still find their image"), "t", transition, Verdict::as_measured,
      seeds,
      fmt::format("the overlap passes 1/2 at t = {:.3f} (closest pair) and {:.3f} (nearest 1 % of pairs)", closest,
                  near),
      "one number"));
  const auto add = [&](const std::string& what, double from, double to, bool all) {
    if (!share_between(outcome.findings.front().restart, from, to)) return;
    const Estimate share = over_seeds(
        outcome.findings, [&](const Findings& findings) { return *share_between(findings.restart, from, to); });
    const bool high = share.low > 0.9, low = share.high < 0.1;
    claims.push_back(claim_over_seeds(
        about(what), fmt::format("share of restarts that find their image, mean over {:.3g} < t ≤ {:.3g}", from, to),
        share, verdict_of(all ? high : low, all ? share.high < 0.5 : share.low > 0.5), seeds,
        all ? "about all: more than 0.9; fewer than half contradict it"
            : "about none: less than 0.1; more than half contradict it",
        "least and most of a level"));
  };
  add("below the overlap's transition about all restarts find their image", 0.0, closest, true);
  add("above the overlap's transition about no restart finds its image", closest, 1.0, false);
}

}  // namespace

double restart_transition(const RestartCurve& curve) {
  return half_way(curve.t, curve.recovered, false);
}

Json contrastive_rows(const StudyOutcome& outcome) {
  Json rows = Json::array();
  for (const Json& look : outcome.looks)
    for (const Json& region : look.at("regions"))
      rows.push_back({{"plan", outcome.plan.name},
                      {"data", look.at("data")},
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
  restart_claims(outcome, claims);
  return claims;
}

}  // namespace tweedie::experiments
