#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "nn/io/file.h"
#include "nn/io/npz.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

class CellStudies : public testing::Test {
 protected:
  /// The smallest grid: two sizes of region, two seeds, and the two controls at one.
  Words freedom(const std::string& out, const Words& more = {}) const {
    return with(
        "--data fashion-mnist --resolution 8 --subset 16 --network mlp:16x1 --sweep region-ratio=1,2 --seeds 0..1 "
        "--steps 6 --batch 8 --probes 8 --samples 16 --held-out 8 --log-every 2 --checkpoint-every 2",
        out, more);
  }
  Words variance(const std::string& out, const Words& more = {}) const {
    return with(
        "--data mixture:3,2 --resolution 0 --network mlp:16x1 --sweep subset=6,12 --sweep "
        "target=conditional,posterior:1,posterior:4,exact,batch:64 --seeds 0..1 --steps 4 --batch 8 --probes 8 "
        "--samples 16 --held-out 8 --likelihoods 8",
        out, more);
  }
  Words with(const std::string& line, const std::string& out, const Words& more) const {
    std::istringstream text(line);
    Words words{std::istream_iterator<std::string>(text), {}};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--out", path(out)});
    return words;
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

const std::set<std::string> criteria = {"m_third", "sqrt_m_third", "sqrt_m_half", "nn_ratio_third"};

void expect_measures(const ordered_json& row) {
  EXPECT_EQ(keys_of(row.at("memorised")), criteria);
  EXPECT_EQ(keys_of(row.at("memorised_heldout")), criteria);
  EXPECT_EQ(row.at("n"), 16);
  const auto quantiles = row.at("m_quantiles").get<std::vector<double>>();
  ASSERT_EQ(quantiles.size(), 7u);
  EXPECT_TRUE(std::is_sorted(quantiles.begin(), quantiles.end()));
  for (const char* key : {"frechet", "sup_error", "ext_error"}) EXPECT_GT(row.at(key).get<double>(), 0.0) << key;
}

TEST_F(CellStudies, FreedomOfExtrapolationWritesItsCells) {
  const Outcome outcome = run_binary("freedom_of_extrapolation", freedom("run"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.standard_output, path("run/report.html") + "\n");
  const auto results = ordered_json::parse(text("run/results.json"));
  EXPECT_EQ(keys_of(results), (std::set<std::string>{"cells", "controls", "region", "claims"}));
  std::set<std::string> cells;
  for (const auto& row : results.at("cells")) {
    EXPECT_EQ(keys_of(row), (std::set<std::string>{"data", "network", "ratio", "seed", "memorised", "memorised_heldout",
                                                   "m_quantiles", "n", "frechet", "sup_error", "ext_error"}));
    expect_measures(row);
    cells.insert(fmt::format("{} {}", row.at("ratio").get<double>(), row.at("seed").get<int>()));
  }
  EXPECT_EQ(cells, (std::set<std::string>{"1 0", "1 1", "2 0", "2 1"}));
  EXPECT_EQ(results.at("cells").size(), 4u);
  std::set<std::string> controls;
  for (const auto& row : results.at("controls"))
    controls.insert(row.at("source").get<std::string>() + " " + row.at("target").get<std::string>());
  EXPECT_EQ(controls, (std::set<std::string>{"data duplicated", "shells:0.1 posterior"}));
  EXPECT_EQ(results.at("region").size(), results.at("cells").size() + results.at("controls").size());
  EXPECT_FALSE(results.at("claims").empty());
  int kept = 0;
  for (const auto& entry : fs::directory_iterator(path("run/arrays"))) {
    const auto arrays = io::read_npz(entry.path());
    EXPECT_EQ(arrays.at("m").shape, Shape({16}));
    EXPECT_EQ(arrays.at("samples").shape, Shape({16, 8, 8, 1}));
    ++kept;
  }
  EXPECT_EQ(kept, static_cast<int>(results.at("region").size()));
}

TEST_F(CellStudies, TargetVarianceWritesItsCells) {
  const Outcome outcome = run_binary("target_variance", variance("run"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto results = ordered_json::parse(text("run/results.json"));
  EXPECT_EQ(results.at("cells").size(), 20u);
  std::set<std::string> dial;
  for (const auto& row : results.at("cells")) {
    EXPECT_EQ(keys_of(row),
              (std::set<std::string>{"data", "network", "N", "K", "seed", "memorised", "memorised_heldout",
                                     "m_quantiles", "n", "frechet", "sup_error", "ext_error"}));
    expect_measures(row);
    dial.insert(row.at("K").get<std::string>());
  }
  EXPECT_EQ(dial, (std::set<std::string>{"dsm", "1", "4", "inf", "batch"}));
  EXPECT_EQ(results.at("trace").size(), 18u);  // two sizes at nine levels
  for (const auto& row : results.at("trace")) {
    EXPECT_GE(row.at("trace").get<double>(), 0.0);
    EXPECT_GE(row.at("effective_count").get<double>(), 1.0 - 1e-9);
    EXPECT_LE(row.at("effective_count").get<double>(), row.at("N").get<double>() * (1.0 + 1e-9));
  }
  EXPECT_EQ(results.at("likelihood").size(), 20u);
  for (const auto& row : results.at("likelihood")) {
    EXPECT_TRUE(std::isfinite(row.at("heldout").get<double>()));
    EXPECT_GT(row.at("heldout_se").get<double>(), 0.0);
    EXPECT_EQ(row.at("n"), 8);
  }
  // The same command gives the same file.
  ASSERT_EQ(run_binary("target_variance", variance("again")).status, 0);
  EXPECT_EQ(text("run/results.json"), text("again/results.json"));
}

TEST_F(CellStudies, AnInterruptedStudyEqualsAnUnbrokenOne) {
  ASSERT_EQ(run_binary("freedom_of_extrapolation", freedom("whole")).status, 0);
  {
    RunningBinary running("freedom_of_extrapolation", freedom("broken"));
    ASSERT_TRUE(
        running.wait_until([&] { return fs::exists(path("broken/cells")) && !fs::is_empty(path("broken/cells")); }));
    running.send(SIGKILL);
    running.wait();
  }
  ASSERT_FALSE(fs::exists(path("broken/results.json")));
  const Outcome resumed = run_binary("freedom_of_extrapolation", freedom("broken", {"--resume"}));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_EQ(text("whole/results.json"), text("broken/results.json"));
}

TEST_F(CellStudies, MistakesAreRefusedBeforeAnyWork) {
  const std::pair<Words, std::string> cases[] = {
      {{"--sweep", "subset=6,many"}, "subset"}, {{"--sweep", "target=exat"}, "target 'exat'"},
      {{"--sweep", "subset=0"}, "--subset"},    {{"--seeds", "4..0"}, "--seeds"},
      {{"--sweep", "threads=1,2"}, "threads"},  {{"--process", "edm"}, "--process"}};
  for (const auto& [words, message] : cases) {
    Words all = {"--data", "mixture:3,2", "--network", "mlp:16x1", "--samples",
                 "16",     "--probes",    "8",         "--out",    path("bad")};
    all.insert(all.end(), words.begin(), words.end());
    const Outcome outcome = run_binary("target_variance", all);
    EXPECT_EQ(outcome.status, 2) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
    EXPECT_FALSE(fs::exists(path("bad")));
  }
}

}  // namespace
}  // namespace tweedie::experiments
