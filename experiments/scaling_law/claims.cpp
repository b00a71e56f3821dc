#include <map>
#include <set>

#include "experiments/scaling_law/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

const Quantity loss{"sup_loss"}, excess{"sup_excess", true}, compute{"flops", true};

Quantity logarithm_of(Quantity quantity) {
  quantity.logarithmic = true;
  return quantity;
}

Json fit_json(const Family& family, const Quantity& x, const Quantity& y, const std::string& features) {
  const auto fit = line_of(family, x, y);
  if (!fit) return {};
  const auto name = [](const Quantity& quantity) {
    return quantity.logarithmic ? "log10 " + quantity.key : quantity.key;
  };
  Json row = {{"family", family.label()}, {"alignment", family.alignment}, {"x", name(x)}, {"y", name(y)}};
  if (!features.empty()) row["features"] = features;
  const ClusteredLine& line = fit->line;
  row.update({{"slope", line.slope.value},
              {"slope_low", line.slope.low},
              {"slope_high", line.slope.high},
              {"intercept", line.intercept.value},
              {"intercept_low", line.intercept.low},
              {"intercept_high", line.intercept.high},
              {"r2", line.r_squared},
              {"n", line.points},
              {"networks", line.clusters}});
  return row;
}

void add_comparison(Json& rows, const std::string& features, const Quantity& x, const Quantity& y, const Family& first,
                    const Family& second) {
  const auto found = compare_at_equal(x, y, first, second);
  if (!found) return;
  rows.push_back({{"at_equal", x.key},
                  {"x", found->x},
                  {"measure", y.key},
                  {"features", features},
                  {"first", first.label()},
                  {"second", second.label()},
                  {"first_value", found->first},
                  {"second_value", found->second},
                  {"difference", found->difference.value},
                  {"low", found->difference.low},
                  {"high", found->difference.high},
                  {"seeds", found->difference.n}});
}

/// Ratios of the shifts of one alignment weight, by the seed that both networks have; of the control for weight 0.
std::map<std::uint64_t, double> ratios_of(const ScalingStudy& study, const std::string& network, double weight) {
  std::map<std::uint64_t, double> ratios;
  for (std::size_t i = 0; i < study.pairs.size(); ++i) {
    const ShiftPair& pair = study.pairs[i];
    if (pair.from.value("network") == network && weight_of(pair.to) == weight)
      ratios[pair.from.seed] = study.shifts[i].at("ratio");
  }
  return ratios;
}

std::vector<double> values_of(const std::map<std::uint64_t, double>& by_seed) {
  std::vector<double> values;
  for (const auto& [seed, value] : by_seed) values.push_back(value);
  return values;
}

void add_shift_claims(const ScalingStudy& study, std::vector<Claim>& claims) {
  std::set<std::pair<std::string, double>> kinds;  // network, weight
  for (const ShiftPair& pair : study.pairs)
    if (!pair.reseeded) kinds.emplace(pair.to.value("network"), weight_of(pair.to));
  for (const auto& [network, weight] : kinds) {
    const auto aligned = ratios_of(study, network, weight), reseeded = ratios_of(study, network, 0.0);
    if (aligned.size() < 2) continue;
    const std::int64_t points = study.shifts.front().at("n");
    Estimate above = student_estimate(values_of(aligned));
    for (double* value : {&above.value, &above.low, &above.high}) *value -= 1.0;
    Claim claim = difference_claim(
        fmt::format("{}: alignment of weight {} moves scores more along the sampler's path than where training "
                    "supervises",
                    network, weight),
        "shift of ext / shift of sup", above, Expected::rise, points);
    for (double* value : {&claim.effect, &claim.low, &claim.high}) *value += 1.0;
    claim.note += "; paper: 1.5 to 1.9";
    claims.push_back(claim);
    std::vector<double> beyond;
    for (const auto& [seed, ratio] : aligned)
      if (const auto control = reseeded.find(seed); control != reseeded.end())
        beyond.push_back(ratio - control->second);
    if (beyond.size() >= 2)
      claims.push_back(difference_claim(
          fmt::format("{}: alignment of weight {} against the control, another seed", network, weight),
          "ratio of shifts, aligned − reseeded", student_estimate(beyond), Expected::anything, points));
  }
}

void add_alignment_claims(const ScalingStudy& study, const std::vector<Family>& families, std::vector<Claim>& claims) {
  const std::int64_t points = study.results.front().at("last").at("n");
  std::map<std::pair<std::string, double>, std::map<std::uint64_t, const Json*>> last;  // by network, weight and seed
  for (std::size_t i = 0; i < study.cells.size(); ++i)
    last[{study.cells[i].value("network"), weight_of(study.cells[i])}][study.cells[i].seed] =
        &study.results[i].at("last");
  for (const auto& [kind, aligned] : last) {
    const auto base = last.find({kind.first, 0.0});
    if (kind.second == 0.0 || base == last.end()) continue;
    for (const Distance& distance : distances_of(study)) {
      std::vector<double> changes;
      for (const auto& [seed, look] : aligned)
        if (const auto other = base->second.find(seed); other != base->second.end())
          changes.push_back(look->at(distance.quantity.key).get<double>() -
                            other->second->at(distance.quantity.key).get<double>());
      if (changes.size() < 2) continue;
      claims.push_back(
          difference_claim(fmt::format("{}: alignment of weight {} lowers the Frechet distance ({}) at the last step",
                                       kind.first, kind.second, distance.features),
                           "Frechet distance, aligned − not", student_estimate(changes), Expected::fall, points));
    }
  }
  for (const auto& [base, family] : compared_pairs(families)) {
    if (family.alignment == 0.0) continue;
    for (const Distance& distance : distances_of(study))
      if (const auto found = compare_at_equal(loss, distance.quantity, base, family))
        claims.push_back(difference_claim(
            fmt::format("At equal supervision loss ({:.4g}) the {} has the lower Frechet distance ({}) than without",
                        found->x, family.label(), distance.features),
            "Frechet distance, aligned − not", found->difference, Expected::fall, points));
  }
}

}  // namespace

Json features_of(const Judges& judges) {
  Json rows = Json::array();
  for (const Judge& judge : judges.all)
    rows.push_back({{"name", judge.name},
                    {"description", judge.space->describe()},
                    {"n", judge.n},
                    {"frechet_floor", judge.frechet_floor},
                    {"kernel_floor", judge.kernel_floor}});
  return rows;
}

std::vector<Claim> claims_of(const ScalingStudy& study) {
  std::vector<Claim> claims;
  const std::vector<Family> families = families_of(study);
  const std::int64_t points = study.results.front().at("last").at("n");
  for (const Distance& distance : distances_of(study))
    for (const Family& family : families) {
      if (family.alignment > 0.0) continue;
      const auto slope = slope_over_seeds(family, loss, distance.quantity);
      const auto whole = line_of(family, loss, distance.quantity);
      if (!slope || !whole) continue;
      Claim claim = difference_claim(fmt::format("{}: the Frechet distance ({}) grows with the supervision loss",
                                                 family.family, distance.features),
                                     "slope, Frechet distance per unit of loss", *slope, Expected::rise, points);
      claim.note +=
          fmt::format("; one line through all {} looks has R² = {:.3f}", whole->line.points, whole->line.r_squared);
      claims.push_back(claim);
    }
  for (const auto& [first, second] : compared_pairs(families)) {
    if (second.alignment > 0.0) continue;
    for (const Distance& distance : distances_of(study))
      if (const auto found = compare_at_equal(loss, distance.quantity, first, second))
        claims.push_back(difference_claim(
            fmt::format("At equal supervision loss ({:.4g}) the {} has a lower Frechet distance ({}) than the {}",
                        found->x, first.family, distance.features, second.family),
            fmt::format("Frechet distance, {} − {}", second.family, first.family), found->difference, Expected::rise,
            points));
    if (const auto found = compare_at_equal(compute, excess, first, second))
      claims.push_back(
          difference_claim(fmt::format("At equal compute ({:.2g} FLOP) the {} has a lower supervision loss than the {}",
                                       found->x, second.family, first.family),
                           fmt::format("excess loss, {} − {}", second.family, first.family), found->difference,
                           second.family == "transformer" ? Expected::fall : Expected::anything, points));
    for (const Distance& distance : distances_of(study))
      if (const auto found = compare_at_equal(compute, logarithm_of(distance.quantity), first, second))
        claims.push_back(
            difference_claim(fmt::format("At equal compute ({:.2g} FLOP): Frechet distance ({}) of {} and {}", found->x,
                                         distance.features, first.family, second.family),
                             fmt::format("Frechet distance, {} − {}", second.family, first.family), found->difference,
                             Expected::anything, points));
  }
  add_alignment_claims(study, families, claims);
  add_shift_claims(study, claims);
  return claims;
}

Json results_of(const ScalingStudy& study) {
  Json out = {{"features", study.features}};
  for (const char* key : {"cells", "fits", "efficiency", "shift", "claims"}) out[key] = Json::array();
  for (const Json& result : study.results)
    for (const Json& look : result.at("looks")) {
      Json row;
      for (const auto& [key, value] : result.items())
        if (key != "looks" && key != "last") row[key] = value;
      row.update(look);
      out["cells"].push_back(row);
    }
  const std::vector<Family> families = families_of(study);
  const auto add_fit = [&](const Family& family, const Quantity& x, const Quantity& y, const std::string& features) {
    if (Json row = fit_json(family, x, y, features); !row.is_null()) out["fits"].push_back(row);
  };
  for (const Distance& distance : distances_of(study))
    for (const Family& family : families) add_fit(family, loss, distance.quantity, distance.features);
  for (const Family& family : families) add_fit(family, compute, excess, "");
  for (const Distance& distance : distances_of(study))
    for (const Family& family : families) add_fit(family, compute, logarithm_of(distance.quantity), distance.features);
  for (const auto& [first, second] : compared_pairs(families)) {
    for (const Distance& distance : distances_of(study))
      add_comparison(out["efficiency"], distance.features, loss, distance.quantity, first, second);
    add_comparison(out["efficiency"], "", compute, excess, first, second);
    for (const Distance& distance : distances_of(study))
      add_comparison(out["efficiency"], distance.features, compute, logarithm_of(distance.quantity), first, second);
  }
  for (std::size_t i = 0; i < study.pairs.size(); ++i) {
    const ShiftPair& pair = study.pairs[i];
    Json row = {{"network", pair.to.value("network")}, {"alignment", weight_of(pair.to)}, {"seed", pair.from.seed}};
    row.update(study.shifts[i]);
    out["shift"].push_back(row);
  }
  for (const Claim& claim : claims_of(study)) out["claims"].push_back(claim_json(claim));
  return out;
}

}  // namespace tweedie::experiments
