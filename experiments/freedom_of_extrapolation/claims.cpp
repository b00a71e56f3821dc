#include <algorithm>
#include <charconv>
#include <set>

#include "experiments/freedom_of_extrapolation/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

/// Cells of one network, by source and target.
struct Family {
  std::string network, source, target;
  std::vector<std::string> ratios;  // rising
  CellFilter at(const std::string& ratio) const {
    return {{"network", network}, {"source", source}, {"target", target}, {"region-ratio", ratio}};
  }
};

double number(const std::string& text) {
  double value = 0.0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<Family> families_of(const RegionStudy& study) {
  std::vector<Family> families;
  for (const SweepCell& cell : study.cells) {
    const Family one{cell.value("network"), cell.value("source"), cell.value("target"), {}};
    auto found = std::find_if(families.begin(), families.end(), [&](const Family& family) {
      return family.network == one.network && family.source == one.source && family.target == one.target;
    });
    if (found == families.end()) found = families.insert(families.end(), one);
    const std::string ratio = cell.value("region-ratio");
    if (std::find(found->ratios.begin(), found->ratios.end(), ratio) == found->ratios.end())
      found->ratios.push_back(ratio);
  }
  for (Family& family : families)
    std::sort(family.ratios.begin(), family.ratios.end(),
              [](const std::string& a, const std::string& b) { return number(a) < number(b); });
  return families;
}

bool is_control(const Family& family) {
  return family.source != "data" || family.target == "duplicated";
}

}  // namespace

std::vector<Claim> claims_of(const RegionStudy& study) {
  std::vector<Claim> claims;
  const std::int64_t points = study.results.front().at("n");
  const auto add = [&](const std::string& statement, const std::string& name, const std::string& pointer,
                       const CellFilter& after, const CellFilter& before, Expected expected) {
    std::set<std::uint64_t> seeds;
    for (const SweepCell& cell : study.cells) seeds.insert(cell.seed);
    if (seeds.size() < 2) return;
    claims.push_back(difference_claim(
        statement, name, seed_difference(study.cells, study.results, pointer, after, before), expected, points));
  };
  const std::vector<Family> families = families_of(study);
  for (const Family& family : families) {
    if (is_control(family) || family.ratios.size() < 2) continue;
    const std::string first = family.ratios.front(), last = family.ratios.back();
    for (const auto& [pointer, name] :
         {std::pair{"/memorised/sqrt_m_third", "√m < 1/3"}, std::pair{"/memorised/sqrt_m_half", "√m < 1/2"}})
      add(fmt::format("{}: the memorised fraction ({}) rises with D_region / D_score", family.network, name),
          fmt::format("fraction at ratio {} − at ratio {}", last, first), pointer, family.at(last), family.at(first),
          Expected::rise);
    for (std::size_t i = 1; i < family.ratios.size(); ++i)
      add(fmt::format("{}: from ratio {} to {}", family.network, family.ratios[i - 1], family.ratios[i]),
          "change of the fraction √m < 1/2", "/memorised/sqrt_m_half", family.at(family.ratios[i]),
          family.at(family.ratios[i - 1]), Expected::anything);
    add(fmt::format("{}: the extrapolated error falls with the region", family.network),
        fmt::format("ext_error at ratio {} − at ratio {}", last, first), "/ext_error", family.at(last),
        family.at(first), Expected::fall);
  }
  for (const Family& control : families) {
    if (!is_control(control)) continue;
    const auto plain = std::find_if(families.begin(), families.end(), [&](const Family& family) {
      return !is_control(family) && family.network == control.network;
    });
    if (plain == families.end()) continue;
    const auto has = [&](const std::string& ratio) {
      return std::find(plain->ratios.begin(), plain->ratios.end(), ratio) != plain->ratios.end();
    };
    const std::string ratio = control.ratios.front();
    const std::string name = control.target == "duplicated" ? "duplicated targets" : control.source;
    if (has("1"))
      add(fmt::format("{}: {} at ratio {} against the score set alone", control.network, name, ratio),
          "difference of the fraction √m < 1/2", "/memorised/sqrt_m_half", control.at(ratio), plain->at("1"),
          Expected::anything);
    if (ratio != "1" && has(ratio))
      add(fmt::format("{}: {} against the exact region, both at ratio {}", control.network, name, ratio),
          "difference of the fraction √m < 1/2", "/memorised/sqrt_m_half", control.at(ratio), plain->at(ratio),
          Expected::anything);
  }
  return claims;
}

bool is_control(const Json& result) {
  return result.at("source") != "data" || result.at("target") == "duplicated";
}

Json results_of(const RegionStudy& study) {
  Json out;
  for (const char* key : {"cells", "controls", "region", "claims"}) out[key] = Json::array();
  for (const Json& result : study.results) {
    Json row = {{"data", result.at("data")},
                {"network", result.at("network")},
                {"ratio", result.at("ratio")},
                {"seed", result.at("seed")}};
    Json region = row;
    for (const char* key : {"source", "target"}) region[key] = result.at(key);
    region["memorised"] = result.at("memorised_region");
    out["region"].push_back(region);
    if (is_control(result))
      for (const char* key : {"source", "target"}) row[key] = result.at(key);
    const Json measures = measures_of(result);
    for (const auto& [key, value] : measures.items()) row[key] = value;
    out[is_control(result) ? "controls" : "cells"].push_back(row);
  }
  for (const Claim& claim : claims_of(study)) out["claims"].push_back(claim_json(claim));
  return out;
}

}  // namespace tweedie::experiments
