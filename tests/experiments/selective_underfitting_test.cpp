#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "nn/io/file.h"
#include "nn/io/npz.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::Not;

using Changes = std::map<std::string, std::string>;  // option to value; "" for a flag

class SelectiveUnderfitting : public testing::Test {
 protected:
  /// The smallest study: 64 images, one small network.
  std::vector<std::string> arguments(const std::string& out, const Changes& changes) const {
    Changes all = {{"--data", "fashion-mnist"},
                   {"--subset", "64"},
                   {"--resolution", "8"},
                   {"--networks", "mlp:16x1"},
                   {"--view", "x0"},
                   {"--checkpoints", "2,4"},
                   {"--batch", "16"},
                   {"--probes", "8"},
                   {"--samples", "50"},
                   {"--restarts", "8"},
                   {"--checkpoint-every", "2"},
                   {"--log-every", "2"},
                   {"--held-out", "8"},
                   {"--out", path(out)}};
    for (const auto& [name, value] : changes) all[name] = value;
    std::vector<std::string> words;
    for (const auto& [name, value] : all) {
      words.push_back(name);
      if (!value.empty()) words.push_back(value);
    }
    return words;
  }
  Outcome run(const std::string& out, const Changes& changes = {}) const {
    return run_binary("selective_underfitting", arguments(out, changes));
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  std::string text(const std::string& name) const { return io::read_text(path(name)); }

  TemporaryFolder temporary_;
};

void expect_finite(const ordered_json& value, const std::string& where) {
  if (value.is_structured())
    for (const auto& [key, member] : value.items()) expect_finite(member, where + "/" + key);
  else
    EXPECT_FALSE(value.is_null() || (value.is_number_float() && !std::isfinite(value.get<double>()))) << where;
}

std::set<std::string> keys_of(const ordered_json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

void expect_keys(const ordered_json& rows, const std::set<std::string>& keys) {
  for (const ordered_json& row : rows)
    for (const std::string& key : keys)
      EXPECT_EQ(keys_of(row).count(key), 1U) << key << " is missing in " << row.dump();
}

TEST_F(SelectiveUnderfitting, ResultsHoldEveryInstrument) {
  const Outcome outcome = run("run", {{"--networks", "mlp:8x1,unet:8x1"}, {"--seeds", "0..1"}});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.standard_output, path("run/report.html") + "\n");
  const auto results = ordered_json::parse(text("run/results.json"));
  expect_finite(results, "");
  EXPECT_EQ(keys_of(results),
            (std::set<std::string>{"contrastive", "shells", "restart", "overlap", "samples", "baselines", "claims"}));

  expect_keys(results.at("contrastive"),
              {"plan", "data", "model", "seed", "step", "flops", "weights", "region", "error", "v_error", "se", "n"});
  std::set<std::string> looks;
  for (const auto& row : results.at("contrastive")) {
    looks.insert(fmt::format("{} {} {} {} {}", row.at("model").get<std::string>(), row.at("seed").get<int>(),
                             row.at("step").get<int>(), row.at("weights").get<std::string>(),
                             row.at("region").get<std::string>()));
    EXPECT_GT(row.at("error").get<double>(), 0.0);
    EXPECT_GT(row.at("se").get<double>(), 0.0);
    EXPECT_GT(row.at("flops").get<double>(), 0.0);
    EXPECT_EQ(row.at("n"), 8);
  }
  EXPECT_EQ(looks.size(), results.at("contrastive").size()) << "a row stands twice";
  for (const char* model : {"mlp:8x1", "unet:8x1"})
    for (const int seed : {0, 1})
      for (const char* region : {"sup", "heldout", "ext", "regenerated"}) {
        EXPECT_EQ(looks.count(fmt::format("{} {} 2 ema {}", model, seed, region)), 1U);
        EXPECT_EQ(looks.count(fmt::format("{} {} 4 ema {}", model, seed, region)), 1U);
        EXPECT_EQ(looks.count(fmt::format("{} {} 4 raw {}", model, seed, region)), 1U);
      }

  expect_keys(results.at("shells"), {"plan", "data", "model", "seed", "t", "source", "q05", "q50", "q95"});
  std::map<std::string, int> sources;
  std::vector<double> medians;  // of the seeds' samplers at t = 0.2
  for (const auto& row : results.at("shells")) {
    ++sources[fmt::format("{} {}", row.at("source").get<std::string>(), row.at("seed").get<int>())];
    EXPECT_EQ(row.at("model"), "unet:8x1");
    if (row.at("source") == "ext" && row.at("t") == 0.2) medians.push_back(row.at("q50"));
    EXPECT_LE(row.at("q05"), row.at("q50"));
    EXPECT_LE(row.at("q50"), row.at("q95"));
    // Noise of variance s^2 in 64 dimensions lies at distance s sqrt(64) of its image within 4 of its deviations.
    if (row.at("source") == "sup" && row.at("t") < 0.3) {
      EXPECT_NEAR(row.at("q50").get<double>(), 1.0, 0.36);
    }
  }
  EXPECT_EQ(sources, (std::map<std::string, int>{{"sup 0", 9}, {"sup 1", 9}, {"ext 0", 9}, {"ext 1", 9}}));
  ASSERT_EQ(medians.size(), 2U);
  EXPECT_NE(medians[0], medians[1]);

  expect_keys(results.at("baselines"), {"plan", "data", "t", "zero", "gaussian", "trace"});
  EXPECT_EQ(results.at("baselines").size(), 9U);
  for (const auto& row : results.at("baselines")) {
    EXPECT_GT(row.at("gaussian").get<double>(), 0.0);
    // The best affine denoiser is no worse than one of them (but for the few states that stand for all).
    EXPECT_LT(row.at("gaussian").get<double>(), 1.2 * row.at("zero").get<double>());
  }

  expect_keys(results.at("restart"), {"plan", "data", "model", "seed", "t", "ratio", "se", "copied", "n"});
  EXPECT_EQ(results.at("restart").size(), 2 * 21U);
  for (const auto& row : results.at("restart")) {
    EXPECT_GE(row.at("ratio").get<double>(), 0.0);
    EXPECT_LE(row.at("ratio").get<double>(), 1.0);
    EXPECT_EQ(row.at("n"), 8);
  }
  for (const std::size_t first : {0U, 21U}) {
    EXPECT_EQ(results.at("restart").at(first).at("seed"), first == 0 ? 0 : 1);
    EXPECT_EQ(results.at("restart").at(first).at("t"), 0.0);
    EXPECT_EQ(results.at("restart").at(first).at("ratio"), 1.0);  // nothing was done to the image
  }

  expect_keys(results.at("overlap"), {"plan", "data", "t", "max", "q50", "q99"});
  for (const auto& row : results.at("overlap")) {
    EXPECT_LE(row.at("q50"), row.at("q99"));
    EXPECT_LE(row.at("q99"), row.at("max"));
    EXPECT_LE(row.at("max").get<double>(), 1.0);
  }

  EXPECT_EQ(results.at("samples").size(), 2U);
  expect_keys(results.at("samples"), {"plan", "data", "model", "seed", "frechet", "features", "n", "memorised",
                                      "memorised_heldout", "m_quantiles"});
  const auto& samples = results.at("samples").at(0);
  EXPECT_EQ(samples.at("n"), 50);
  EXPECT_GT(samples.at("frechet").get<double>(), 0.0);
  for (const char* of : {"memorised", "memorised_heldout"})
    EXPECT_EQ(keys_of(samples.at(of)),
              (std::set<std::string>{"m_third", "sqrt_m_third", "sqrt_m_half", "nn_ratio_third"}));

  expect_keys(results.at("claims"), {"statement", "verdict", "effect_name", "effect", "low", "high", "n", "seeds"});
  int shells = 0;
  for (const auto& claim : results.at("claims")) {
    EXPECT_LE(claim.at("low"), claim.at("high"));
    EXPECT_EQ(claim.at("seeds"), 2);
    EXPECT_THAT(claim.at("note").get<std::string>(), HasSubstr("over 2 seeds"));
    if (claim.at("effect_name") != "median r* of sampler states") continue;
    ++shells;
    // One number a seed, and Student's interval on one degree of freedom.
    EXPECT_NEAR(claim.at("effect").get<double>(), (medians[0] + medians[1]) / 2, 1e-9);
    EXPECT_NEAR(claim.at("high").get<double>() - claim.at("effect").get<double>(),
                12.706204736 * std::abs(medians[0] - medians[1]) / 2, 1e-6);
  }
  EXPECT_EQ(shells, 1);

  EXPECT_THAT(text("run/report.html"), HasSubstr("<svg"));
  const auto records = io::read_npz(path("run/arrays/fashion-mnist-unet_8x1-seed1/ext_ema.npz"));
  EXPECT_FALSE(records.empty());
}

TEST_F(SelectiveUnderfitting, GoesOnAfterSignalsToTheSameResults) {
  ASSERT_EQ(run("unbroken").status, 0);
  const std::string looks = "broken/checkpoints/fashion-mnist-mlp_16x1-seed0/";
  {
    RunningBinary killed("selective_underfitting", arguments("broken", {}));
    ASSERT_TRUE(killed.wait_until([&] { return fs::exists(path(looks + "look-00000002.json")); }));
    killed.send(SIGKILL);
    ASSERT_EQ(killed.wait().signal, SIGKILL);
  }
  ASSERT_FALSE(fs::exists(path("broken/results.json")));
  fs::create_directories(path(looks + "step-00000003.partial"));
  {
    RunningBinary stopped("selective_underfitting", arguments("broken", {{"--resume", ""}}));
    ASSERT_TRUE(stopped.wait_until([&] { return fs::exists(path(looks + "look-00000004.json")); }));
    stopped.send(SIGTERM);
    const Outcome outcome = stopped.wait();
    EXPECT_EQ(outcome.status, 128 + SIGTERM) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr("--resume"));
  }
  const Outcome outcome = run("broken", {{"--resume", ""}});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_FALSE(fs::exists(path(looks + "step-00000003.partial")));
  EXPECT_EQ(text("unbroken/results.json"), text("broken/results.json"));
  EXPECT_EQ(text("unbroken/metrics.jsonl"), text("broken/metrics.jsonl"));
}

TEST_F(SelectiveUnderfitting, ASweepIsOnePlanForEachCombinationInOneFolder) {
  const Changes sweep = {{"--sweep", "subset=64,96"}, {"--seeds", "0..1"}};
  const Outcome unbroken = run("unbroken", sweep);
  ASSERT_EQ(unbroken.status, 0) << unbroken.output;
  const auto results = ordered_json::parse(text("unbroken/results.json"));
  std::map<std::string, std::set<int>> seeds;  // by plan
  for (const char* key : {"contrastive", "shells", "restart", "samples"}) {
    seeds.clear();
    for (const auto& row : results.at(key)) seeds[row.at("plan")].insert(row.at("seed").get<int>());
    EXPECT_EQ(seeds, (std::map<std::string, std::set<int>>{{"fashion-mnist,subset=64", {0, 1}},
                                                           {"fashion-mnist,subset=96", {0, 1}}}))
        << key;
  }
  ASSERT_EQ(results.at("sweep").size(), 4U);
  expect_keys(results.at("sweep"),
              {"plan", "subset", "model", "seed", "sup_ratio", "ext_ratio", "gap", "restart_transition", "frechet"});
  std::map<std::string, double> errors;
  for (const auto& row : results.at("contrastive"))
    if (row.at("weights") == "ema" && row.at("seed") == 1 && row.at("plan") == "fashion-mnist,subset=96")
      errors[fmt::format("{} {}", row.at("region").get<std::string>(), row.at("step").get<int>())] = row.at("error");
  EXPECT_EQ(results.at("sweep").at(3).at("sup_ratio"), errors.at("sup 4") / errors.at("sup 2"));
  EXPECT_EQ(results.at("sweep").at(3).at("gap"), errors.at("ext 4") / errors.at("sup 4"));
  EXPECT_THAT(text("unbroken/report.html"), HasSubstr("The plans beside each other"));
  // Plans do not share networks: twice the data is another training set.
  EXPECT_NE(results.at("sweep").at(0).at("sup_ratio"), results.at("sweep").at(2).at("sup_ratio"));

  const std::string last = "broken/checkpoints/fashion-mnist,subset=96-mlp_16x1-seed0/look-00000002.json";
  {
    RunningBinary killed("selective_underfitting", arguments("broken", sweep));
    ASSERT_TRUE(killed.wait_until([&] { return fs::exists(path(last)); }));
    killed.send(SIGKILL);
    ASSERT_EQ(killed.wait().signal, SIGKILL);
  }
  ASSERT_FALSE(fs::exists(path("broken/results.json")));
  Changes again = sweep;
  again["--resume"] = "";
  const Outcome resumed = run("broken", again);
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_EQ(text("unbroken/results.json"), text("broken/results.json"));
  EXPECT_EQ(text("unbroken/metrics.jsonl"), text("broken/metrics.jsonl"));
}

TEST_F(SelectiveUnderfitting, WhatIsGivenReplacesTheQuickModesOwn) {
  const auto plans = [&](const std::string& out, const Changes& changes) {
    Changes all = {{"--quick", ""}, {"--seeds", "4"}};
    all.insert(changes.begin(), changes.end());
    const Outcome outcome = run(out, all);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return ordered_json::parse(text(out + "/config.json")).at("plans");
  };
  const ordered_json quick = plans("quick", {});
  ASSERT_EQ(quick.size(), 2U);
  EXPECT_EQ(quick.at(0).at("data"), "mosaic:4");
  EXPECT_EQ(quick.at(1).at("data"), "fashion-mnist");
  for (const auto& plan : quick) {
    EXPECT_EQ(plan.at("networks"), ordered_json({"mlp:16x1"}));
    EXPECT_EQ(plan.at("checkpoints"), ordered_json({2, 4}));
    EXPECT_EQ(plan.at("subset"), 64);
    EXPECT_EQ(plan.at("seeds"), ordered_json({4}));
    EXPECT_EQ(plan.at("view"), "x0");
  }
  // A sweep takes the plain images alone.
  const ordered_json swept = plans("swept", {{"--sweep", "batch=8,16"}});
  ASSERT_EQ(swept.size(), 2U);
  for (const auto& plan : swept) EXPECT_EQ(plan.at("data"), "fashion-mnist");
  EXPECT_EQ(swept.at(0).at("batch"), 8);
  EXPECT_EQ(swept.at(1).at("batch"), 16);
}

TEST_F(SelectiveUnderfitting, OneSeedGivesNoVerdict) {
  const auto verdicts = [&](const std::string& seeds) {
    const Outcome outcome =
        run_binary("selective_underfitting", {"--study",
                                              "contrastive,gaussian,perception,memorising,guidance,hybrid",
                                              "--study-network",
                                              "mlp:16x1",
                                              "--study-steps",
                                              "20",
                                              "--study-samples",
                                              "32",
                                              "--quick",
                                              "--resolution",
                                              "8",
                                              "--subset",
                                              "64",
                                              "--networks",
                                              "mlp:16x1",
                                              "--checkpoints",
                                              "2,8",
                                              "--batch",
                                              "16",
                                              "--probes",
                                              "8",
                                              "--samples",
                                              "32",
                                              "--restarts",
                                              "8",
                                              "--held-out",
                                              "8",
                                              "--seeds",
                                              seeds,
                                              "--out",
                                              path(seeds)});
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    std::map<std::string, int> count;
    const auto results = ordered_json::parse(text(seeds + "/results.json"));
    for (const auto& claim : results.at("claims")) {
      ++count[claim.at("verdict")];
      EXPECT_EQ(claim.at("seeds"), seeds == "3" ? 1 : 2) << claim.dump();
    }
    return count;
  };
  const auto one = verdicts("3"), two = verdicts("3,5");
  EXPECT_EQ(one.size(), 1U);
  EXPECT_EQ(one.count("as measured"), 1U);
  EXPECT_GT(two.at("reproduced") + two.at("contradicted"), 0);
  EXPECT_THAT(text("3/report.html"), HasSubstr("one seed: no verdict"));
  EXPECT_THAT(text("3,5/report.html"), Not(HasSubstr("one seed: no verdict")));
}

TEST_F(SelectiveUnderfitting, OtherStudiesRunAloneAndRepeatThemselves) {
  const auto run_studies = [&](const std::string& out) {
    return run_binary(
        "selective_underfitting",
        {"--study", "gaussian,perception,memorising,guidance,hybrid", "--quick", "--study-network", "mlp:16x1",
         "--study-steps", "20", "--study-samples", "32", "--resolution", "8", "--subset", "64", "--out", path(out)});
  };
  const Outcome outcome = run_studies("first");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto results = ordered_json::parse(text("first/results.json"));
  expect_finite(results, "");
  EXPECT_EQ(keys_of(results),
            (std::set<std::string>{"gaussian", "perception", "memorising", "guidance", "hybrid", "claims"}));
  EXPECT_EQ(results.at("gaussian").size(), 24U);  // four errors at six looks
  EXPECT_EQ(results.at("perception").size(), 3 * 5U);
  for (const auto& row : results.at("perception")) {
    double shares = 0.0;
    for (const char* place : {"copies", "good", "bad", "other"}) shares += row.at(place).at("value").get<double>();
    EXPECT_NEAR(shares, 1.0, 1e-9);
  }
  EXPECT_EQ(results.at("memorising").size(), 3 * 2U);
  EXPECT_EQ(results.at("guidance").size(), 3 * (4U * 9U + 4U));  // models and regions by level, then strengths
  EXPECT_EQ(results.at("hybrid").size(), 3 * 20U);
  for (const char* study : {"perception", "memorising", "guidance", "hybrid"}) {
    std::map<int, std::size_t> rows;  // by seed
    for (const auto& row : results.at(study)) ++rows[row.at("seed").get<int>()];
    EXPECT_EQ(rows.size(), 3U) << study;
    for (const auto& [seed, count] : rows) EXPECT_EQ(count, results.at(study).size() / 3) << study << " " << seed;
  }
  // A claim's effect is the mean of one number a seed, and the seeds' networks differ.
  std::set<double> speaks;
  for (const auto& row : results.at("guidance"))
    if (row.value("model", "") == "learned" && row.at("region") == "ext" && row.at("t") == 0.5)
      speaks.insert(row.at("difference").get<double>());
  ASSERT_EQ(speaks.size(), 3U);
  double effect = 0.0;
  for (const auto& claim : results.at("claims"))
    if (claim.at("effect_name") == "|s(class) − s(none)|/√d of the network") effect = claim.at("effect");
  EXPECT_NEAR(effect, std::accumulate(speaks.begin(), speaks.end(), 0.0) / 3, 1e-12);
  // The exact score alone copies, whatever the network is.
  for (const auto& row : results.at("hybrid"))
    if (row.at("switch") == "reversed time" && row.at("at") == 1.0) {
      EXPECT_EQ(row.at("sqrt_m_third").at("value"), 1.0);
    }
  EXPECT_THAT(text("first/report.html"), HasSubstr("Gaussian toy"));
  ASSERT_EQ(run_studies("second").status, 0);
  EXPECT_EQ(text("first/results.json"), text("second/results.json"));
  const Outcome unknown = run_binary("selective_underfitting", {"--study", "gaussan", "--out", path("third")});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.last_error_line(), HasSubstr("--study gaussan: expected contrastive, gaussian"));
  const Outcome swept =
      run_binary("selective_underfitting", {"--study", "hybrid", "--sweep", "subset=64,96", "--out", path("third")});
  EXPECT_EQ(swept.status, 2);
  EXPECT_THAT(swept.last_error_line(), HasSubstr("--sweep: only --study contrastive"));
}

TEST_F(SelectiveUnderfitting, FewSamplesStillMakeAGallery) {
  EXPECT_EQ(run("run", {{"--samples", "8"}, {"--checkpoints", "1"}}).status, 0);
}

TEST_F(SelectiveUnderfitting, BadArgumentsAreRefusedInOneLine) {
  const auto refusal = [&](const Changes& changes, const std::string& message) {
    const Outcome outcome = run("bad", changes);
    EXPECT_EQ(outcome.status, 2) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
    EXPECT_EQ(outcome.error_lines(), 1U) << outcome.errors;
    EXPECT_FALSE(fs::exists(path("bad")));
  };
  refusal({{"--checkpoints", "4,2"}}, "--checkpoints: expected rising positive steps");
  refusal({{"--networks", "mlp:x"}}, "network 'mlp:x'");
  refusal({{"--network", "mlp:16x1"}}, "did you mean --networks?");
  refusal({{"--batch", "65"}}, "--batch 65 is larger than the data, 64 images");
  refusal({{"--probes", "65"}}, "too few for 65 probes");
  refusal({{"--process", "edm"}}, "--process edm");
  refusal({{"--view", "eps"}}, "--view eps");
  refusal({{"--subset", "60001"}}, "60001 images asked for");
  refusal({{"--sweep", "subset=64,60001"}}, "60001 images asked for");
  refusal({{"--sweep", "subset"}}, "--sweep subset: expected an option and its values");
  refusal({{"--sweep", "sebset=64,96"}}, "no option --sebset");
  refusal({{"--sweep", "seed=0,1"}}, "cannot be swept; give --seeds");
  refusal({{"--sweep", "study-steps=1,2"}}, "cannot be swept");
  refusal({{"--seeds", "4..0"}}, "--seeds 4..0");
  refusal({{"--seed-count", "3"}}, "unknown flag '--seed-count'");
}

}  // namespace
}  // namespace tweedie::experiments
