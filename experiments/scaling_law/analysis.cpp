#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "experiments/scaling_law/page.h"

namespace tweedie::experiments {
namespace {

using Json = nlohmann::ordered_json;

double drawn(const Quantity& quantity, double value) {
  return quantity.logarithmic ? std::log10(value) : value;
}
double undone(const Quantity& quantity, double value) {
  return quantity.logarithmic ? std::pow(10.0, value) : value;
}

std::vector<PointCluster> clusters_of(const Family& family, const Quantity& x, const Quantity& y) {
  std::map<std::string, std::size_t> places;
  std::vector<PointCluster> clusters;
  for (const LookPoint& point : family.points) {
    const auto [place, added] = places.emplace(point.run, clusters.size());
    if (added) clusters.emplace_back();
    clusters[place->second].x.push_back(drawn(x, x.of(point)));
    clusters[place->second].y.push_back(drawn(y, y.of(point)));
  }
  return clusters;
}

std::pair<double, double> range_of(const Family& family, const Quantity& x) {
  std::pair<double, double> range{INFINITY, -INFINITY};
  for (const LookPoint& point : family.points) {
    range.first = std::min(range.first, drawn(x, x.of(point)));
    range.second = std::max(range.second, drawn(x, x.of(point)));
  }
  return range;
}

/// The line through one seed's points; none for fewer than three of them or one x.
std::optional<Line> line_of_seed(const Family& family, std::uint64_t seed, const Quantity& x, const Quantity& y) {
  std::vector<double> xs, ys;
  for (const LookPoint& point : family.points)
    if (point.seed == seed) {
      xs.push_back(drawn(x, x.of(point)));
      ys.push_back(drawn(y, y.of(point)));
    }
  if (xs.size() < 3 || std::ranges::count(xs, xs.front()) == static_cast<std::ptrdiff_t>(xs.size())) return {};
  return fit_line(xs, ys);
}

std::set<std::uint64_t> seeds_of(const Family& family) {
  std::set<std::uint64_t> seeds;
  for (const LookPoint& point : family.points) seeds.insert(point.seed);
  return seeds;
}

}  // namespace

std::string Family::label() const {
  return alignment > 0.0 ? fmt::format("{}, aligned {}", family, alignment) : family;
}

double Quantity::of(const LookPoint& point) const {
  return point.look->at(key).get<double>();
}

std::vector<Family> families_of(const ScalingStudy& study) {
  std::vector<Family> families;
  for (std::size_t i = 0; i < study.cells.size(); ++i) {
    const Json& result = study.results[i];
    const std::string kind = result.at("family");
    const double alignment = result.at("alignment");
    auto found = std::find_if(families.begin(), families.end(), [&](const Family& family) {
      return family.family == kind && family.alignment == alignment;
    });
    if (found == families.end())
      found = families.insert(families.end(), {.family = kind, .alignment = alignment, .points = {}});
    for (const Json& look : result.at("looks"))
      found->points.push_back(
          {.network = result.at("network"), .run = study.cells[i].name(), .seed = study.cells[i].seed, .look = &look});
  }
  std::stable_sort(families.begin(), families.end(),
                   [](const Family& a, const Family& b) { return (a.alignment > 0.0) < (b.alignment > 0.0); });
  return families;
}

std::optional<FamilyLine> line_of(const Family& family, const Quantity& x, const Quantity& y) {
  const std::vector<PointCluster> clusters = clusters_of(family, x, y);
  if (clusters.size() < 2 || family.points.size() < 3) return {};
  const auto [low, high] = range_of(family, x);
  if (!(high > low)) return {};
  constexpr int pieces = 12;
  std::vector<double> at;
  for (int i = 0; i <= pieces; ++i) at.push_back(low + (high - low) * i / pieces);
  FamilyLine line{.line = clustered_line(clusters, at), .x = {}};
  for (const double value : at) line.x.push_back(undone(x, value));
  return line;
}

std::optional<Estimate> slope_over_seeds(const Family& family, const Quantity& x, const Quantity& y) {
  std::vector<double> slopes;
  for (const std::uint64_t seed : seeds_of(family))
    if (const auto line = line_of_seed(family, seed, x, y)) slopes.push_back(line->slope);
  if (slopes.size() < 2) return {};
  return student_estimate(slopes);
}

std::optional<Comparison> compare_at_equal(const Quantity& x, const Quantity& y, const Family& first,
                                           const Family& second) {
  if (first.points.empty() || second.points.empty()) return {};
  const auto a = range_of(first, x), b = range_of(second, x);
  const double low = std::max(a.first, b.first), high = std::min(a.second, b.second);
  if (!(high > low)) return {};
  const double at = (low + high) / 2;
  std::vector<double> before, after, differences;
  for (const std::uint64_t seed : seeds_of(first)) {
    const auto one = line_of_seed(first, seed, x, y), other = line_of_seed(second, seed, x, y);
    if (!one || !other) continue;
    before.push_back(undone(y, one->intercept + one->slope * at));
    after.push_back(undone(y, other->intercept + other->slope * at));
    differences.push_back(after.back() - before.back());
  }
  if (differences.size() < 2) return {};
  return Comparison{
      .x = undone(x, at), .first = mean(before), .second = mean(after), .difference = student_estimate(differences)};
}

Family restricted_to(const Family& family, const Family& other) {
  Family part{.family = family.family, .alignment = family.alignment, .points = {}};
  for (const LookPoint& point : family.points)
    if (std::any_of(other.points.begin(), other.points.end(),
                    [&](const LookPoint& theirs) { return theirs.network == point.network; }))
      part.points.push_back(point);
  return part;
}

std::vector<Distance> distances_of(const ScalingStudy& study) {
  std::vector<Distance> distances = {{{"frechet"}, study.features.front().at("name")}};
  if (study.features.size() > 1) distances.push_back({{"frechet_pca"}, "pca"});
  return distances;
}

std::vector<std::pair<Family, Family>> compared_pairs(const std::vector<Family>& families) {
  const auto rank = [](const Family& family) {
    const std::string names[] = {"conv U-Net", "attention U-Net", "transformer"};
    return std::find(std::begin(names), std::end(names), family.family) - std::begin(names);
  };
  std::vector<Family> plain;
  for (const Family& family : families)
    if (family.alignment == 0.0) plain.push_back(family);
  std::stable_sort(plain.begin(), plain.end(), [&](const Family& a, const Family& b) { return rank(a) < rank(b); });
  std::vector<std::pair<Family, Family>> pairs;
  for (std::size_t i = 0; i < plain.size(); ++i)
    for (std::size_t j = i + 1; j < plain.size(); ++j) pairs.emplace_back(plain[i], plain[j]);
  for (const Family& family : families)
    for (const Family& base : plain)
      if (family.alignment > 0.0 && family.family == base.family)
        pairs.emplace_back(restricted_to(base, family), family);
  return pairs;
}

}  // namespace tweedie::experiments
