#include <algorithm>
#include <cmath>
#include <set>

#include "experiments/target_variance/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

double mean_at(const std::vector<double>& values, std::size_t level, std::size_t n) {
  return mean(std::span(values).subspan(level * n, n));
}

}  // namespace

void add_trace(VarianceStudy& study, const CellOptions& options, const CellGround& ground) {
  const std::string& data = options.data.data;
  const std::int64_t count = ground.score_set.count;
  if (std::any_of(study.traces.begin(), study.traces.end(),
                  [&](const TraceCurve& curve) { return curve.data == data && curve.count == count; }))
    return;
  TraceCurve curve{.data = data, .count = count, .t = ground.supervised.states.t};
  const auto n = static_cast<std::size_t>(ground.supervised.states.count());
  for (std::size_t level = 0; level < curve.t.size(); ++level) {
    curve.sigma.push_back(ground.process.sigma(curve.t[level]));
    curve.log_snr.push_back(ground.process.log_snr(curve.t[level]));
    curve.trace.push_back(mean_at(ground.supervised.trace, level, n));
    curve.norm.push_back(mean_at(ground.supervised.norm, level, n));
    curve.effective.push_back(std::exp(mean_at(ground.supervised.entropy, level, n)));
  }
  study.traces.push_back(std::move(curve));
}

std::string dial_of(const std::string& target) {
  if (target == "conditional") return "dsm";
  if (target == "exact") return "inf";
  if (target.starts_with("batch")) return target == "batch:64" ? "batch" : target;
  const std::size_t colon = target.find(':');
  if (target.starts_with("posterior")) return colon == std::string::npos ? "1" : target.substr(colon + 1);
  return target;
}

std::vector<Claim> claims_of(const VarianceStudy& study) {
  std::vector<Claim> claims;
  std::set<std::uint64_t> seeds;
  for (const SweepCell& cell : study.cells) seeds.insert(cell.seed);
  if (seeds.size() < 2) return claims;
  const auto has = [&](const CellFilter& filter) {
    return std::any_of(study.cells.begin(), study.cells.end(), [&](const SweepCell& cell) {
      return std::all_of(filter.begin(), filter.end(),
                         [&](const auto& entry) { return cell.value(entry.first) == entry.second; });
    });
  };
  const std::int64_t points = study.results.front().at("n");
  for (const SweepCell& cell : study.cells) {
    if (cell.seed != study.cells.front().seed || cell.value("target") != "conditional") continue;
    CellFilter dsm(cell.values.begin(), cell.values.end());
    const auto with = [&](const std::string& target) {
      CellFilter filter = dsm;
      for (auto& [key, value] : filter)
        if (key == "target") value = target;
      return filter;
    };
    const std::string where =
        fmt::format("{}, {}, N = {}", cell.value("data"), cell.value("network"), cell.value("subset"));
    const auto add = [&](const std::string& statement, const std::string& name, const std::string& pointer,
                         const std::string& target, Expected expected) {
      if (has(with(target)))
        claims.push_back(difference_claim(statement + " (" + where + ")", name,
                                          seed_difference(study.cells, study.results, pointer, with(target), dsm),
                                          expected, points));
    };
    add("Null control: one posterior draw is denoising score matching", "fraction √m < 1/3: K = 1 − DSM",
        "/memorised/sqrt_m_third", "posterior:1", Expected::no_change);
    add("Null control: one posterior draw is denoising score matching", "ext_error: K = 1 − DSM", "/ext_error",
        "posterior:1", Expected::no_change);
    for (const auto& [name, key] :
         {std::pair{"√m < 1/3", "/memorised/sqrt_m_third"}, std::pair{"NN/2nd < 1/3", "/memorised/nn_ratio_third"}})
      add("Without the target's variance a network memorises more", fmt::format("fraction {}: K = inf − DSM", name),
          key, "exact", Expected::rise);
    add("Without the target's variance the supervised error is lower", "sup_error: K = inf − DSM", "/sup_error",
        "exact", Expected::fall);
    add("Without the target's variance the extrapolated error is", "ext_error: K = inf − DSM", "/ext_error", "exact",
        Expected::anything);
    if (!study.likelihoods.empty() && has(with("exact")))
      claims.push_back(difference_claim("Without the target's variance held-out data are less likely (" + where + ")",
                                        "held-out bits/dim: K = inf − DSM",
                                        seed_difference(study.cells, study.likelihoods, "/heldout", with("exact"), dsm),
                                        Expected::rise, study.likelihoods.front().at("n")));
    add("Without the target's variance the Frechet distance to held-out data is", "Frechet: K = inf − DSM", "/frechet",
        "exact", Expected::anything);
  }
  return claims;
}

Json results_of(const VarianceStudy& study) {
  Json out;
  for (const char* key : {"cells", "trace", "likelihood", "claims"}) out[key] = Json::array();
  for (const Json& result : study.results) {
    Json row = {{"data", result.at("data")},
                {"network", result.at("network")},
                {"N", result.at("N")},
                {"K", dial_of(result.at("target"))},
                {"seed", result.at("seed")}};
    const Json measures = measures_of(result);
    for (const auto& [key, value] : measures.items()) row[key] = value;
    out["cells"].push_back(row);
  }
  for (std::size_t i = 0; i < study.likelihoods.size(); ++i) {
    Json row;
    for (const char* key : {"data", "network", "N", "K", "seed"}) row[key] = out["cells"][i].at(key);
    for (const auto& [key, value] : study.likelihoods[i].items()) row[key] = value;
    out["likelihood"].push_back(row);
  }
  for (const TraceCurve& curve : study.traces)
    for (std::size_t i = 0; i < curve.t.size(); ++i)
      out["trace"].push_back({{"data", curve.data},
                              {"N", curve.count},
                              {"t", curve.t[i]},
                              {"sigma", curve.sigma[i]},
                              {"log_snr", curve.log_snr[i]},
                              {"trace", curve.trace[i]},
                              {"norm", curve.norm[i]},
                              {"effective_count", curve.effective[i]}});
  for (const Claim& claim : claims_of(study)) out["claims"].push_back(claim_json(claim));
  return out;
}

}  // namespace tweedie::experiments
