#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "diffusion/statistics.h"
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

class ScalingLaw : public testing::Test {
 protected:
  /// By default two kinds of network, with and without alignment; two seeds, three looks.
  Words tiny(const std::string& out, const Words& more = {},
             const Words& sweep = {"network=unet-conv:8x1,dit:32x2/2", "align=0,0.5"}) const {
    std::istringstream text(
        "--data fashion-mnist --resolution 8 --subset 32 --seeds 0..1 --steps 8 --batch 8 --probes 8 --samples 16 "
        "--held-out 0 --log-every 4 --looks 3 --encoder-steps 4 --encoder-channels 8");
    Words words{std::istream_iterator<std::string>(text), {}};
    for (const std::string& axis : sweep) words.insert(words.end(), {"--sweep", axis});
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--out", path(out)});
    return words;
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  std::string text(const std::string& name) const { return io::read_text(path(name)); }

  TemporaryFolder temporary_;
};

/// The looks of one family and weight, as a fit's row names them.
std::vector<ordered_json> looks_of(const ordered_json& results, const std::string& label) {
  std::vector<ordered_json> looks;
  for (const auto& row : results.at("cells")) {
    const double weight = row.at("alignment");
    const std::string family = row.at("family");
    if ((weight > 0.0 ? fmt::format("{}, aligned {}", family, weight) : family) == label) looks.push_back(row);
  }
  return looks;
}

double along(const ordered_json& look, const std::string& name) {
  return name.starts_with("log10 ") ? std::log10(look.at(name.substr(6)).get<double>()) : look.at(name).get<double>();
}

TEST_F(ScalingLaw, WritesItsCellsFitsAndShifts) {
  const Outcome outcome = run_binary("scaling_law", tiny("run"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.standard_output, path("run/report.html") + "\n");
  const auto results = ordered_json::parse(text("run/results.json"));
  ASSERT_EQ(results.at("features").size(), 2u);
  EXPECT_EQ(results.at("features")[0].at("name"), "encoder");
  EXPECT_THAT(results.at("features")[0].at("description").get<std::string>(), HasSubstr("test accuracy"));

  // Two networks, two weights, two seeds; looks at steps 2, 4 and 8.
  ASSERT_EQ(results.at("cells").size(), 24u);
  std::map<std::string, double> forward;
  for (const auto& row : results.at("cells")) {
    EXPECT_EQ(row.at("family"), row.at("network") == "dit:32x2/2" ? "transformer" : "conv U-Net");
    EXPECT_EQ(row.at("features"), "encoder");
    const double step = row.at("step"), flops = row.at("flops");
    EXPECT_TRUE(step == 2 || step == 4 || step == 8) << step;
    const auto [known, added] = forward.emplace(row.at("network"), flops / step);
    EXPECT_DOUBLE_EQ(known->second, flops / step);
    EXPECT_GT(row.at("training_flops").get<double>(), 2.0 * flops);  // forward and backward
    EXPECT_NEAR(row.at("sup_loss").get<double>(),
                row.at("sup_floor").get<double>() + row.at("sup_excess").get<double>(), 1e-12);
    EXPECT_EQ(row.at("sup_floor"), results.at("cells")[0].at("sup_floor"));  // a property of the data
    EXPECT_GT(row.at("sup_floor").get<double>(), 0.0);
    for (const char* key : {"sup_excess", "sup_error", "ext_error", "ext_v_error", "frechet", "frechet_pca"})
      EXPECT_GT(row.at(key).get<double>(), 0.0) << key;
    EXPECT_EQ(row.at("n"), 16);
    for (const char* key : {"m_third", "sqrt_m_third", "sqrt_m_half", "nn_ratio_third"})
      EXPECT_TRUE(row.at("memorised").contains(key) && row.at("memorised_heldout").contains(key));
  }

  // Each fit is the least-squares line through its looks, by the normal equations.
  ASSERT_EQ(results.at("fits").size(), 4u * 5u);
  for (const auto& fit : results.at("fits")) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (const auto& look : looks_of(results, fit.at("family"))) {
      const double u = along(look, fit.at("x")), v = along(look, fit.at("y"));
      n += 1, x += u, y += v, xx += u * u, xy += u * v;
    }
    const double slope = (n * xy - x * y) / (n * xx - x * x);
    EXPECT_EQ(n, fit.at("n").get<double>());
    EXPECT_EQ(fit.at("networks"), 2);
    EXPECT_NEAR(fit.at("slope").get<double>(), slope, 1e-5 * std::abs(slope) + 1e-7) << fit.dump();
    EXPECT_NEAR(fit.at("intercept").get<double>(), (y - slope * x) / n, 1e-5 * (std::abs(y / n) + std::abs(slope)));
    EXPECT_LE(fit.at("slope_low").get<double>(), fit.at("slope_high").get<double>());
  }

  // Values at equal compute are those of a line for each seed.
  int at_compute = 0;
  for (const auto& row : results.at("efficiency")) {
    EXPECT_NEAR(row.at("difference").get<double>(),
                row.at("second_value").get<double>() - row.at("first_value").get<double>(), 1e-9);
    EXPECT_EQ(row.at("seeds"), 2);
    if (row.at("measure") != "sup_excess") continue;
    ++at_compute;
    double value = 0.0;
    for (const int seed : {0, 1}) {
      std::vector<double> x, y;
      for (const auto& look : looks_of(results, row.at("second")))
        if (look.at("seed") == seed) {
          x.push_back(along(look, "log10 flops"));
          y.push_back(along(look, "log10 sup_excess"));
        }
      const Line line = fit_line(x, y);
      value += std::pow(10.0, line.intercept + line.slope * std::log10(row.at("x").get<double>())) / 2.0;
    }
    EXPECT_NEAR(row.at("second_value").get<double>(), value, 1e-9 * value);
  }
  EXPECT_GE(at_compute, 2);  // each aligned network has the compute of the unaligned one

  // Aligned against not for each network and seed; and as many controls.
  ASSERT_EQ(results.at("shift").size(), 8u);
  std::set<std::string> shifts;
  for (const auto& row : results.at("shift")) {
    EXPECT_NEAR(row.at("ratio").get<double>(), row.at("ext").get<double>() / row.at("sup").get<double>(), 1e-12);
    EXPECT_EQ(row.at("seed") == row.at("against_seed"), row.at("alignment").get<double>() > 0.0);
    shifts.insert(fmt::format("{} {} {}", row.at("network").get<std::string>(), row.at("alignment").get<double>(),
                              row.at("seed").get<int>()));
  }
  EXPECT_EQ(shifts.size(), 8u);
  EXPECT_FALSE(results.at("claims").empty());
  for (const char* encoder : {"judge", "teacher"})
    EXPECT_TRUE(fs::exists(path("run/encoders/") + encoder + "/tweedie.json"));
  const std::string page = text("run/report.html");
  EXPECT_THAT(page, HasSubstr("Where alignment moves the score"));
  EXPECT_THAT(page, HasSubstr("transformer, aligned 0.5"));
}

TEST_F(ScalingLaw, AnInterruptedRunEqualsAnUnbrokenOne) {
  const Words sweep = {"network=dit:32x2/2", "align=0,0.5"};
  ASSERT_EQ(run_binary("scaling_law", tiny("whole", {}, sweep)).status, 0);
  {
    RunningBinary running("scaling_law", tiny("broken", {}, sweep));
    ASSERT_TRUE(
        running.wait_until([&] { return fs::exists(path("broken/cells")) && !fs::is_empty(path("broken/cells")); }));
    running.send(SIGKILL);
    running.wait();
  }
  ASSERT_FALSE(fs::exists(path("broken/results.json")));
  const Outcome resumed = run_binary("scaling_law", tiny("broken", {"--resume"}, sweep));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_EQ(text("whole/results.json"), text("broken/results.json"));
}

TEST_F(ScalingLaw, DataWithoutLabelsAreJudgedByPrincipalComponents) {
  const Words common = {"--data",  "mosaic:4", "--resolution", "16", "--subset",  "32", "--steps", "2",
                        "--batch", "8",        "--probes",     "8",  "--samples", "16", "--seeds", "0",
                        "--looks", "1",        "--held-out",   "0",  "--out"};
  Words words = common;
  words.insert(words.end(), {path("run"), "--sweep", "network=mlp:16x1"});
  const Outcome outcome = run_binary("scaling_law", words);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto results = ordered_json::parse(text("run/results.json"));
  EXPECT_EQ(results.at("features").size(), 1u);
  ASSERT_EQ(results.at("cells").size(), 1u);
  EXPECT_EQ(results.at("cells")[0].at("features"), "pca");
  EXPECT_EQ(results.at("cells")[0].at("frechet"), results.at("cells")[0].at("frechet_pca"));
  EXPECT_TRUE(results.at("claims").empty());
  words = common;
  words.insert(words.end(), {path("bad"), "--sweep", "network=mlp:16x1", "--sweep", "align=0,1"});
  const Outcome aligned = run_binary("scaling_law", words);
  EXPECT_EQ(aligned.status, 2);
  EXPECT_THAT(aligned.last_error_line(), HasSubstr("have no labels to train an encoder on"));
}

TEST_F(ScalingLaw, MistakesAreRefusedBeforeAnyWork) {
  const struct {
    Words more, sweep;
    std::string message;
  } cases[] = {{{}, {"network=dit:32x2/3"}, "no whole patches"},
               {{}, {"network=vit"}, "vit"},
               {{}, {"align=0,many"}, "align"},
               {{"--align-layer", "nowhere"}, {"network=dit:32x2/2", "align=0.5"}, "nowhere"},
               {{"--encoder", path("absent")}, {"network=dit:32x2/2", "align=0.5"}, "absent"},
               {{"--looks", "0"}, {}, "--looks"},
               {{"--samples", "100000"}, {}, "--samples"},
               {{}, {"subset=16,32", "network=mlp:16x1", "align=0"}, "one set of images"},
               {{"--process", "edm"}, {"network=mlp:16x1", "align=0"}, "--process"}};
  for (const auto& [more, sweep, message] : cases) {
    const Outcome outcome = run_binary("scaling_law", tiny("bad", more, sweep));
    EXPECT_NE(outcome.status, 0) << message;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message)) << outcome.output;
    EXPECT_FALSE(fs::exists(path("bad"))) << message;
  }
}

}  // namespace
}  // namespace tweedie::experiments
