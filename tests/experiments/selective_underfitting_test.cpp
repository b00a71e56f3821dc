#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
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
  const Outcome outcome = run("run", {{"--networks", "mlp:8x1,unet:8x1"}, {"--seed-count", "2"}});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.standard_output, path("run/report.html") + "\n");
  const auto results = ordered_json::parse(text("run/results.json"));
  expect_finite(results, "");
  EXPECT_EQ(keys_of(results),
            (std::set<std::string>{"contrastive", "shells", "restart", "overlap", "samples", "claims"}));

  expect_keys(results.at("contrastive"),
              {"data", "model", "seed", "step", "flops", "weights", "region", "error", "v_error", "se", "n"});
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

  expect_keys(results.at("shells"), {"data", "t", "source", "q05", "q50", "q95"});
  std::map<std::string, int> sources;
  for (const auto& row : results.at("shells")) {
    ++sources[row.at("source")];
    EXPECT_LE(row.at("q05"), row.at("q50"));
    EXPECT_LE(row.at("q50"), row.at("q95"));
    // Noise of variance s^2 in 64 dimensions lies at distance s sqrt(64) of its image within 4 of its deviations.
    if (row.at("source") == "sup" && row.at("t") < 0.3) {
      EXPECT_NEAR(row.at("q50").get<double>(), 1.0, 0.36);
    }
  }
  EXPECT_EQ(sources, (std::map<std::string, int>{{"sup", 9}, {"ext", 9}}));

  expect_keys(results.at("restart"), {"data", "t", "ratio", "n"});
  EXPECT_EQ(results.at("restart").size(), 21U);
  for (const auto& row : results.at("restart")) {
    EXPECT_GE(row.at("ratio").get<double>(), 0.0);
    EXPECT_LE(row.at("ratio").get<double>(), 1.0);
    EXPECT_EQ(row.at("n"), 8);
  }
  EXPECT_EQ(results.at("restart").front().at("t"), 0.0);
  EXPECT_EQ(results.at("restart").front().at("ratio"), 1.0);  // nothing was done to the image

  expect_keys(results.at("overlap"), {"data", "t", "max", "q50", "q99"});
  for (const auto& row : results.at("overlap")) {
    EXPECT_LE(row.at("q50"), row.at("q99"));
    EXPECT_LE(row.at("q99"), row.at("max"));
    EXPECT_LE(row.at("max").get<double>(), 1.0);
  }

  expect_keys(results.at("samples"),
              {"data", "model", "seed", "frechet", "features", "n", "memorised", "memorised_heldout", "m_quantiles"});
  const auto& samples = results.at("samples").at(0);
  EXPECT_EQ(samples.at("n"), 50);
  EXPECT_GT(samples.at("frechet").get<double>(), 0.0);
  for (const char* of : {"memorised", "memorised_heldout"})
    EXPECT_EQ(keys_of(samples.at(of)),
              (std::set<std::string>{"m_third", "sqrt_m_third", "sqrt_m_half", "nn_ratio_third"}));

  expect_keys(results.at("claims"), {"statement", "verdict", "effect_name", "effect", "low", "high", "n", "seeds"});
  for (const auto& claim : results.at("claims")) EXPECT_LE(claim.at("low"), claim.at("high"));

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
  EXPECT_EQ(results.at("perception").size(), 5U);
  for (const auto& row : results.at("perception")) {
    double shares = 0.0;
    for (const char* place : {"copies", "good", "bad", "other"}) shares += row.at(place).at("value").get<double>();
    EXPECT_NEAR(shares, 1.0, 1e-9);
  }
  EXPECT_EQ(results.at("memorising").size(), 2U);
  EXPECT_EQ(results.at("guidance").size(), 4U * 9U + 4U);  // models and regions by level, then strengths
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
}

}  // namespace
}  // namespace tweedie::experiments
