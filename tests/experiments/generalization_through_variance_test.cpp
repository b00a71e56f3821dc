#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>
#include <tuple>

#include "nn/io/file.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

class GeneralizationThroughVariance : public testing::Test {
 protected:
  /// Few samples of few models: numbers mean nothing, but every part is there.
  Outcome run(const std::string& out, const Words& more, const Words& size = {"--samples", "200", "--models", "2"}) {
    Words words = {"--quick", "--out", path(out)};
    words.insert(words.end(), size.begin(), size.end());
    words.insert(words.end(), more.begin(), more.end());
    return run_binary("generalization_through_variance", words);
  }
  ordered_json results(const std::string& out, const Words& more) {
    const Outcome outcome = run(out, more);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(outcome.standard_output, path(out + "/report.html") + "\n");
    EXPECT_THAT(text(out + "/report.html"), HasSubstr("<svg"));
    return ordered_json::parse(text(out + "/results.json"));
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  std::string text(const std::string& name) const { return io::read_text(path(name)); }

  TemporaryFolder temporary_;
};

std::set<std::string> keys_of(const ordered_json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

/// Each of `names` is a share with its standard error.
void expect_shares(const ordered_json& row, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    EXPECT_GE(row.at(name).get<double>(), 0.0) << name;
    EXPECT_LE(row.at(name).get<double>(), 1.0) << name;
    EXPECT_GE(row.at(name + "_se").get<double>(), 0.0) << name;
  }
}

void expect_claims(const ordered_json& claims) {
  EXPECT_FALSE(claims.empty());
  const std::set<std::string> verdicts = {"reproduced", "not at this scale", "contradicted", "as measured"};
  for (const ordered_json& claim : claims) {
    EXPECT_EQ(keys_of(claim), (std::set<std::string>{"statement", "verdict", "effect_name", "effect", "low", "high",
                                                     "n", "seeds", "note"}));
    EXPECT_EQ(verdicts.count(claim.at("verdict")), 1u) << claim.at("verdict");
    EXPECT_LE(claim.at("low"), claim.at("high"));
  }
}

/// Mean and maximum of tr C/(tr C + |s*|^2) on the figure's grid, by plain sums over the points.
std::pair<double, double> figure_one(const std::vector<double>& x, const std::vector<double>& y, double t) {
  const double alpha = std::sqrt(1.0 - t);
  double sum = 0.0, most = 0.0;
  for (int row = 0; row < 100; ++row)
    for (int column = 0; column < 100; ++column) {
      const double u = -2.0 + 4.0 * column / 99.0, v = -2.0 + 4.0 * row / 99.0;
      std::vector<double> exponents;
      for (std::size_t i = 0; i < x.size(); ++i)
        exponents.push_back(-(std::pow(u - alpha * x[i], 2) + std::pow(v - alpha * y[i], 2)) / (2.0 * t));
      const double largest = *std::max_element(exponents.begin(), exponents.end());
      double total = 0.0, mx = 0.0, my = 0.0, squares = 0.0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double w = std::exp(exponents[i] - largest);
        total += w;
        mx += w * x[i];
        my += w * y[i];
      }
      mx /= total;
      my /= total;
      for (std::size_t i = 0; i < x.size(); ++i)
        squares += std::exp(exponents[i] - largest) / total * (std::pow(x[i] - mx, 2) + std::pow(y[i] - my, 2));
      const double trace = alpha * alpha / (t * t) * squares,
                   score = (std::pow(alpha * mx - u, 2) + std::pow(alpha * my - v, 2)) / (t * t);
      sum += trace / (trace + score);
      most = std::max(most, trace / (trace + score));
    }
  return {sum / 1e4, most};
}

TEST_F(GeneralizationThroughVariance, FigureOneIsTheClosedForm) {
  const ordered_json found = results("one", {"--figure", "1"});
  ASSERT_EQ(found.at("cells").size(), 20u);
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> sets = {
      {"blend", {{-1, -1, -1, 0, 0.5, 1}, {-1, 0, 1, -1, -1, -1}}},
      {"random", {{-1, -0.9, -0.3, 0.1, 0.2, 0.9}, {-1, 1, 0.2, -0.1, -0.1, 0.7}}}};
  for (int m = 0; m < 6; ++m) {
    sets["polygon"].first.push_back(std::cos(2.0 * std::numbers::pi * m / 6.0));
    sets["polygon"].second.push_back(std::sin(2.0 * std::numbers::pi * m / 6.0));
    sets["line"].first.push_back(-1.0 + 0.4 * m);
    sets["line"].second.push_back(-1.0 + 0.4 * m);
  }
  std::set<std::pair<std::string, double>> cells;
  for (const ordered_json& row : found.at("cells")) {
    EXPECT_EQ(keys_of(row), (std::set<std::string>{"points", "t", "frac_mean", "frac_max"}));
    const auto& [x, y] = sets.at(row.at("points"));
    const auto [average, most] = figure_one(x, y, row.at("t").get<double>());
    EXPECT_NEAR(row.at("frac_mean").get<double>(), average, 1e-9) << row.dump();
    EXPECT_NEAR(row.at("frac_max").get<double>(), most, 1e-9) << row.dump();
    cells.emplace(row.at("points"), row.at("t").get<double>());
  }
  EXPECT_EQ(cells.size(), 20u);
}

TEST_F(GeneralizationThroughVariance, FigureTwoWritesItsTable) {
  const ordered_json found = results("two", {"--figure", "2", "--lookup-grid", "200"});
  EXPECT_EQ(keys_of(found), (std::set<std::string>{"cells", "control", "distances", "claims"}));
  const std::vector<std::string> shares = {"gap_mass", "near_mass", "outside_mass", "tv_to_exact_ode"};
  std::set<std::pair<double, int>> cells;
  for (const char* list : {"cells", "control"}) {
    ASSERT_EQ(found.at(list).size(), 15u) << list;
    for (const ordered_json& row : found.at(list)) {
      std::set<std::string> keys = {"eps", "P"};
      for (const std::string& name : shares) keys.insert({name, name + "_se"});
      EXPECT_EQ(keys_of(row), keys);
      expect_shares(row, shares);
      cells.emplace(row.at("eps").get<double>(), row.at("P").get<int>());
    }
  }
  EXPECT_EQ(cells.size(), 15u);
  EXPECT_EQ(cells.count({1e-3, 256}), 1u);
  EXPECT_EQ(found.at("distances").size(), 15u);
  expect_claims(found.at("claims"));
  EXPECT_TRUE(fs::exists(path("two/arrays/figure_2_shares.npy")));
  // The look-up and the evaluation at the state are not the same sampler; the control can be left out.
  const ordered_json other = results("state", {"--figure", "2", "--no-control"});
  EXPECT_NE(other.at("cells"), found.at("cells"));
  EXPECT_TRUE(other.at("control").empty());
}

TEST_F(GeneralizationThroughVariance, FigureThreeWritesItsTable) {
  const ordered_json found = results("three", {"--figure", "3"});
  const std::vector<std::string> shares = {"edge_mass", "centre_mass", "near_mass", "outside_mass"};
  for (const char* list : {"cells", "control"}) {
    std::set<std::pair<std::string, int>> cells;
    for (const ordered_json& row : found.at(list)) {
      std::set<std::string> keys = {"features", "rotation_index"};
      for (const std::string& name : shares) keys.insert({name, name + "_se"});
      EXPECT_EQ(keys_of(row), keys);
      expect_shares(row, shares);
      cells.emplace(row.at("features"), row.at("rotation_index").get<int>());
    }
    EXPECT_EQ(cells,
              (std::set<std::pair<std::string, int>>{
                  {"gaussian", 0}, {"gaussian", 1}, {"gaussian", 2}, {"fourier", 0}, {"fourier", 1}, {"fourier", 2}}));
  }
  expect_claims(found.at("claims"));
  // As many samples as were drawn lie inside the square or are told as outside.
  for (const ordered_json& row : found.at("cells"))
    EXPECT_LE(row.at("edge_mass").get<double>() + row.at("centre_mass").get<double>() +
                  row.at("near_mass").get<double>() + row.at("outside_mass").get<double>(),
              1.0 + 1e-9);
}

TEST_F(GeneralizationThroughVariance, ModelsAreAHundredUnlessGiven) {
  const Outcome outcome = run("default", {"--figure", "1"}, {"--samples", "50"});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto config = ordered_json::parse(text("default/config.json"));
  EXPECT_NE(config.dump().find("\"models\":100"), std::string::npos);
}

/// A study, the list of its rows and how many there are, and what each row must hold.
using StudyCase = std::tuple<std::string, std::string, std::size_t, std::set<std::string>>;
class Studies : public GeneralizationThroughVariance, public testing::WithParamInterface<StudyCase> {};

TEST_P(Studies, RunsAndRepeatsItself) {
  const auto& [name, list, count, keys] = GetParam();
  const Words words = {"--study", name, "--training-steps", "20,40"};
  const ordered_json found = results("first", words);
  ASSERT_EQ(found.at(list).size(), count);
  for (const ordered_json& row : found.at(list))
    for (const std::string& key : keys) {
      ASSERT_TRUE(row.contains(key)) << key;
      if (row.at(key).is_number()) {
        EXPECT_TRUE(std::isfinite(row.at(key).get<double>())) << key;
      }
    }
  expect_claims(found.at("claims"));
  ASSERT_EQ(run("second", words).status, 0);
  EXPECT_EQ(text("first/results.json"), text("second/results.json"));
}

INSTANTIATE_TEST_SUITE_P(
    GeneralizationThroughVariance, Studies,
    testing::Values(
        StudyCase{"naive", "cells", 8, {"kappa", "steps", "ks_to_effective_sde", "ks_critical_1_percent", "gap_mass"}},
        StudyCase{"effective-sde",
                  "cells",
                  3,
                  {"P", "tv_repeated_models", "tv_gaussian_quenched", "tv_average_denoiser", "tv_white_noise"}},
        StudyCase{"linear", "ratios", 4, {"F", "P", "formula_over_monte_carlo", "without_misfit_over_monte_carlo"}},
        StudyCase{"ntk", "widths", 9, {"width", "seed", "relative_deviation"}},
        StudyCase{"mlp", "cells", 8, {"steps", "seed", "target", "edge_mass", "error_to_exact"}},
        StudyCase{"factors", "cells", 26, {"factor", "value", "gap_mass", "gap_mass_owed_to_target_noise"}},
        StudyCase{"gaussianity", "cells", 27, {"P", "z", "t", "skewness", "excess_kurtosis", "ks_to_normal"}}),
    [](const testing::TestParamInfo<StudyCase>& info) {
      std::string name = std::get<0>(info.param);
      std::erase(name, '-');
      return name;
    });

TEST_F(GeneralizationThroughVariance, FiguresRepeatThemselvesAndFollowTheirSeed) {
  for (const char* figure : {"1", "2", "3"}) {
    const std::string name = std::string("figure") + figure;
    ASSERT_EQ(run(name + "a", {"--figure", figure}).status, 0);
    ASSERT_EQ(run(name + "b", {"--figure", figure}).status, 0);
    EXPECT_EQ(text(name + "a/results.json"), text(name + "b/results.json"));
  }
  ASSERT_EQ(run("other", {"--figure", "3", "--seed", "1"}).status, 0);
  EXPECT_NE(text("other/results.json"), text("figure3a/results.json"));
}

TEST_F(GeneralizationThroughVariance, BadArgumentsAreRefusedInOneLine) {
  const std::pair<Words, std::string> cases[] = {
      {{"--figure", "4"}, "--figure"},
      {{"--study", "nave"}, "--study"},
      {{"--figure", "2", "--study", "naive"}, "expected one of them"},
      {{"--figure", "2", "--lookup-grid", "1"}, "--lookup-grid: expected 0 or at least 2 points"},
      {{"--figure", "2", "--models", "1"}, "--models"},
      {{"--figure", "2", "--samples", "-5"}, "--samples"},
      {{"--study", "mlp", "--training-steps", "0"}, "--training-steps"},
      {{"--figure", "1", "--resume"}, "--resume"}};
  for (const auto& [words, message] : cases) {
    const Outcome outcome = run("bad", words, {});
    EXPECT_EQ(outcome.status, 2) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
    EXPECT_EQ(outcome.error_lines(), 1U) << outcome.errors;
    EXPECT_FALSE(fs::exists(path("bad")));
  }
}

}  // namespace
}  // namespace tweedie::experiments
