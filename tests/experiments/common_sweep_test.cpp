#include "experiments/common/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/App.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/common/command_line.h"
#include "experiments/common/progress.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "kernels/runtime/error.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

using nlohmann::ordered_json;
using ::testing::UnorderedElementsAre;
using Seeds = std::vector<std::uint64_t>;

TEST(Sweep, SeedsAreRangesAndLists) {
  EXPECT_EQ(parse_seeds("0..4"), (Seeds{0, 1, 2, 3, 4}));
  EXPECT_EQ(parse_seeds("7"), (Seeds{7}));
  EXPECT_EQ(parse_seeds("0,3,7"), (Seeds{0, 3, 7}));
  EXPECT_EQ(parse_seeds("9,1..2"), (Seeds{9, 1, 2}));
  EXPECT_EQ(parse_seeds("18446744073709551615"), (Seeds{~std::uint64_t{0}}));
  for (const char* wrong : {"", "a", "1..", "..3", "4..0", "-1", "1,1", "0..2,2", "0..1000", "1 2"})
    EXPECT_THROW(parse_seeds(wrong), UsageError) << wrong;
}

TEST(Sweep, AxesAreAKeyAndItsValues) {
  const SweepAxis axis = parse_axis("network=unet:8x1,mlp:16x2");
  EXPECT_EQ(axis.key, "network");
  EXPECT_EQ(axis.values, (std::vector<std::string>{"unet:8x1", "mlp:16x2"}));
  EXPECT_EQ(parse_axis("--subset=5").key, "subset");
  for (const char* wrong : {"", "network", "=a", "n=", "n=a,,b", "n=a,a"})
    EXPECT_THROW(parse_axis(wrong), UsageError) << wrong;
  const auto axes = merged_axes({{"target", {"a", "b"}}, {"subset", {"1"}}}, {"target=c", "rate=1,2"});
  ASSERT_EQ(axes.size(), 3u);
  EXPECT_EQ(axes[0].values, (std::vector<std::string>{"c"}));
  EXPECT_EQ(axes[1].values, (std::vector<std::string>{"1"}));
  EXPECT_EQ(axes[2].key, "rate");
  EXPECT_THROW(merged_axes({}, {"rate=1", "rate=2"}), UsageError);
}

TEST(Sweep, CellsAreAllCombinationsWithNamesOfTheirOwn) {
  const auto cells = sweep_cells({{"network", {"unet:8", "unet_8"}}, {"subset", {"1", "2", "3"}}}, {4, 5});
  ASSERT_EQ(cells.size(), 12u);
  EXPECT_EQ(cells[0].name(), "network=unet_8,subset=1,seed=4");
  EXPECT_EQ(cells[1].value("subset"), "2");
  EXPECT_EQ(cells[1].value("absent", "x"), "x");
  EXPECT_EQ(cells[6].seed, 5u);
  std::set<std::string> names, groups;
  for (const SweepCell& cell : cells) {
    names.insert(cell.name());
    groups.insert(cell.group());
    EXPECT_EQ(cell.name().find('/'), std::string::npos);
  }
  EXPECT_EQ(names.size(), 12u);
  EXPECT_EQ(groups.size(), 6u);
  EXPECT_EQ(sweep_cells({}, {3})[0].name(), "seed=3");
}

class SweepRun : public testing::Test {
 protected:
  SweepRun() : line_({.name = "p"}) {
    line_.app().add_option("--rate", rate_)->check(CLI::Range(0.0, 10.0));
    line_.app().add_option("--name", name_);
    line_.app().add_option("--out", out_)->group("Run");
    add_options(line_, sweep_);
    const char* arguments[] = {"p", "--name", "given"};
    line_.parse(3, arguments);
    install_signal_handlers();  // as programs have them: a worker that is told to stop finishes its cell
  }
  RunFolder folder(Existing existing) const {
    return {temporary_.path() / "run", existing, {{"program", "p"}, {"options", ordered_json::object()}}};
  }
  ordered_json run_cell(const SweepCell& cell) {
    // Cells may run in processes of their own, which leave nothing behind but files.
    std::ofstream(temporary_.path() / "ran", std::ios::app) << cell.name() + "\n";
    if (cell.name() == stop_at_) throw Interrupted(2, "stopped");
    return {{"value", rate_ * 10.0 + static_cast<double>(cell.seed)}};
  }
  std::vector<ordered_json> sweep(RunFolder& folder) {
    Progress progress({.out = stderr, .terminal = false, .plain_interval = 1e9});
    return run_sweep(cells_, line_, folder, progress, Device{}, [&](const SweepCell& cell) { return run_cell(cell); });
  }

  CommandLine line_;
  double rate_ = 0.0;
  std::string name_, out_, stop_at_;
  SweepOptions sweep_{.seeds = "0..1"};
  TemporaryFolder temporary_;
  std::vector<SweepCell> cells_ = sweep_cells({{"rate", {"1", "2", "4"}}}, {0, 1});
  std::vector<std::string> ran() const {
    std::ifstream file(temporary_.path() / "ran");
    std::vector<std::string> names;
    for (std::string name; std::getline(file, name);) names.push_back(name);
    return names;
  }
};

TEST_F(SweepRun, EachCellRunsWithItsOptionsInForce) {
  RunFolder run = folder(Existing::refuse);
  const auto results = sweep(run);
  ASSERT_EQ(results.size(), 6u);
  EXPECT_EQ(results[0].at("value"), 10.0);
  EXPECT_EQ(results[2].at("value"), 40.0);
  EXPECT_EQ(results[5].at("value"), 41.0);
  EXPECT_EQ(name_, "given");  // what is not swept stays
}

TEST_F(SweepRun, AnInterruptedSweepGoesOnAtTheFirstMissingCell) {
  stop_at_ = "rate=4,seed=0";
  {
    RunFolder run = folder(Existing::refuse);
    EXPECT_THROW(sweep(run), Interrupted);
  }
  stop_at_.clear();
  const auto before = ran();
  EXPECT_LT(before.size(), 6u);
  RunFolder run = folder(Existing::resume);
  const auto results = sweep(run);
  // Each cell once, but for the one that was interrupted.
  EXPECT_THAT(ran(), UnorderedElementsAre("rate=1,seed=0", "rate=2,seed=0", "rate=4,seed=0", "rate=4,seed=0",
                                          "rate=1,seed=1", "rate=2,seed=1", "rate=4,seed=1"));
  EXPECT_EQ(results[1].at("value"), 20.0);
  EXPECT_EQ(results[5].at("value"), 41.0);
}

TEST_F(SweepRun, MistakesAreFoundBeforeAnyWork) {
  EXPECT_NO_THROW(check_cells(cells_, line_));
  for (const char* wrong : {"rate=1,eleven", "rate=1,11", "raet=1", "out=a,b", "seeds=1,2"})
    EXPECT_THROW(check_cells(sweep_cells(merged_axes({}, {wrong}), {0}), line_), UsageError) << wrong;
}

TEST_F(SweepRun, AStudysOptionsGiveWayToTheCommandLine) {
  const SweepStudy study{.settings = {{"name", "study"}}, .axes = {{"rate", {"1", "2"}}}};
  const auto cells = study_cells(study, {.seeds = "5", .axes = {}}, line_);
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_TRUE(cells[0].settings.empty());  // --name was given
  EXPECT_EQ(cells[1].name(), "rate=2,seed=5");
  const auto swept = study_cells(study, {.seeds = "5", .axes = {"name=a,b", "rate=3"}}, line_);
  ASSERT_EQ(swept.size(), 2u);
  EXPECT_EQ(swept[1].name(), "rate=3,name=b,seed=5");

  CommandLine plain({.name = "p"});
  double rate = 7.0;
  std::string name = "default";
  plain.app().add_option("--rate", rate);
  plain.app().add_option("--name", name);
  const char* arguments[] = {"p", "--rate", "9"};
  plain.parse(3, arguments);
  const auto own = study_cells(study, {.seeds = "0", .axes = {}}, plain);
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0].name(), "rate=9,seed=0");
  apply(own[0], plain);
  EXPECT_EQ(name, "study");
}

TEST_F(SweepRun, DifferencesArePairedBySeed) {
  RunFolder run = folder(Existing::refuse);
  cells_ = sweep_cells({{"rate", {"1", "2"}}}, {0, 1, 2});
  auto results = sweep(run);
  results[3]["value"] = 31.0;  // rate 2 of seed 1, in place of 21
  const Estimate difference = seed_difference(cells_, results, "/value", {{"rate", "2"}}, {{"rate", "1"}});
  EXPECT_EQ(difference.n, 3);
  EXPECT_NEAR(difference.value, 40.0 / 3.0, 1e-12);
  EXPECT_NEAR(difference.high - difference.value, 4.302652729911275 * difference.standard_error, 1e-9);
  EXPECT_THROW(seed_difference(cells_, results, "/value", {{"rate", "8"}}, {{"rate", "1"}}), Error);
}

TEST(SweepClaim, AVerdictNeedsSomethingThatCouldHaveDiffered) {
  const auto verdict = [](double low, double high, Expected expected) {
    return difference_claim("s", "e", {.value = (low + high) / 2, .low = low, .high = high, .n = 3}, expected, 256)
        .verdict;
  };
  EXPECT_EQ(verdict(0.1, 0.3, Expected::rise), Verdict::reproduced);
  EXPECT_EQ(verdict(0.1, 0.3, Expected::fall), Verdict::contradicted);
  EXPECT_EQ(verdict(-0.1, 0.3, Expected::rise), Verdict::not_at_this_scale);
  EXPECT_EQ(verdict(-0.1, 0.3, Expected::no_change), Verdict::reproduced);
  EXPECT_EQ(verdict(0.1, 0.3, Expected::no_change), Verdict::contradicted);
  // Fractions of 0 in every seed: no difference could show.
  EXPECT_EQ(verdict(0.0, 0.0, Expected::no_change), Verdict::as_measured);
  EXPECT_EQ(verdict(0.0, 0.0, Expected::rise), Verdict::not_at_this_scale);
}

TEST_F(SweepRun, SummaryAveragesOverSeeds) {
  RunFolder run = folder(Existing::refuse);
  const auto results = sweep(run);
  const Table table = sweep_table(cells_, results, {{"/value", "value"}, {"/absent", "absent"}});
  EXPECT_EQ(table.columns, (std::vector<std::string>{"rate", "seeds", "value", "absent"}));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"2", "2", "20.5 ± 0.5", ""}));
  const Panel panel = sweep_panel(cells_, results, {"/value", "value"}, "rate", true);
  ASSERT_EQ(panel.series.size(), 1u);
  EXPECT_EQ(panel.series[0].x, (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(panel.series[0].y, (std::vector<double>{10.5, 20.5, 40.5}));
  EXPECT_EQ(panel.series[0].low[0], 10.0);
  EXPECT_TRUE(panel.x.logarithmic);
}

TEST(SweepPanel, WordsStandSideBySideAndOtherAxesMakeLines) {
  const auto cells = sweep_cells({{"network", {"a", "b"}}, {"target", {"dsm", "4"}}}, {0});
  std::vector<ordered_json> results;
  for (std::size_t i = 0; i < cells.size(); ++i) results.push_back({{"x", 1.0 + static_cast<double>(i)}});
  const Panel panel = sweep_panel(cells, results, {"/x", "x"}, "target", true);
  EXPECT_FALSE(panel.x.logarithmic);
  ASSERT_EQ(panel.x.ticks.size(), 2u);
  EXPECT_EQ(panel.x.ticks[1].second, "4");
  ASSERT_EQ(panel.series.size(), 2u);
  EXPECT_EQ(panel.series[1].label, "network b");
  EXPECT_EQ(panel.series[1].y, (std::vector<double>{3, 4}));
  EXPECT_NE(render_svg({.panels = {panel}}).find("dsm"), std::string::npos);
}

}  // namespace
}  // namespace tweedie::experiments
