#include <CLI/App.hpp>

#include <fstream>
#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "experiments/common/command_line.h"
#include "experiments/common/options.h"
#include "experiments/common/run_folder.h"
#include "experiments/common/signals.h"
#include "kernels/runtime/error.h"
#include "tests/experiments/temporary_folder.h"

#include <signal.h>

namespace tweedie::experiments {
namespace {

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

struct Values {
  RunOptions run;
  ComputeOptions compute;
  DataOptions data;
  int steps = 100;
  double rate = 1e-3;
  std::vector<std::string> names = {"a", "b"};
  bool flips = false;
};

const Program program{"train_it", "Trains it.", {{"train_it --out runs/a", "the usual"}}};

std::function<void(CommandLine&)> declare(Values& values) {
  return [&values](CommandLine& line) {
    add_options(line, values.run);
    add_options(line, values.compute);
    add_options(line, values.data);
    line.app().add_option("--steps", values.steps, "Steps");
    line.app().add_option("--rate", values.rate, "Rate");
    line.app().add_option("--names", values.names, "Names");
    line.app().add_flag("--flips", values.flips, "Flips");
  };
}

struct Outcome {
  int status = 0;
  std::string out, error;
  Values values;
  nlohmann::ordered_json options;
};

Outcome run(
    std::vector<const char*> arguments, const std::function<void()>& body = [] {}) {
  arguments.insert(arguments.begin(), "train_it");
  Outcome outcome;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.status = run_program(static_cast<int>(arguments.size()), arguments.data(), program, declare(outcome.values),
                               [&](const CommandLine& line) {
                                 outcome.options = line.options();
                                 body();
                               });
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.error = testing::internal::GetCapturedStderr();
  return outcome;
}

// One line and no more.
void expect_complaint(const Outcome& outcome, int status, const std::string& says) {
  EXPECT_EQ(outcome.status, status);
  EXPECT_TRUE(contains(outcome.error, says));
  EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
  EXPECT_EQ(outcome.error.rfind("train_it: ", 0), 0U) << outcome.error;
  EXPECT_EQ(outcome.error.find("--help") != std::string::npos, status == 2) << outcome.error;
  EXPECT_EQ(outcome.out, "");
}

TEST(CommandLine, FillsOptionsAndRecordsThemWithTheirTypes) {
  const Outcome outcome = run({"--out", "x", "--classes", "1,2", "--rate=0.25", "--flips", "--seed", "7"});
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.values.data.classes, (std::vector<int>{1, 2}));
  const auto expected = nlohmann::ordered_json::parse(
      R"({"out": "x", "quick": false, "seed": 7, "device": "auto", "matmul": "native",
          "conv": "native", "tf32": false, "precision": "float32", "threads": 0, "log-level": "info",
          "data": "fashion-mnist", "resolution": 0, "classes": [1, 2], "subset": 0, "subset-seed": 0,
          "steps": 100, "rate": 0.25, "names": ["a", "b"], "flips": true})");
  EXPECT_EQ(outcome.options, expected) << outcome.options.dump(2);
}

TEST(CommandLine, HelpShowsExamplesAndVersionItself) {
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_TRUE(contains(help.out, "train_it --out runs/a\n      the usual"));
  EXPECT_TRUE(contains(help.out, "--subset-seed"));
  const Outcome version = run({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_EQ(version.out.rfind("train_it 0.", 0), 0U) << version.out;
}

TEST(CommandLine, UnknownFlagsAreNamedWithTheNearestKnown) {
  expect_complaint(run({"--out", "x", "--sede", "3"}), 2, "unknown flag '--sede' (did you mean --seed?)");
  expect_complaint(run({"--outt=x"}), 2, "unknown flag '--outt' (did you mean --out?)");
  expect_complaint(run({"--out", "x", "--resol", "3"}), 2, "did you mean --resolution?");
  expect_complaint(run({"--out", "x", "--zebra-crossing"}), 2, "unknown flag '--zebra-crossing';");
  expect_complaint(run({"--out", "x", "stray"}), 2, "unexpected argument 'stray'");
}

TEST(CommandLine, BadValuesAreUsageErrors) {
  expect_complaint(run({}), 2, "--out is required");
  expect_complaint(run({"--out", "x", "--steps", "many"}), 2, "--steps");
  expect_complaint(run({"--out", "x", "--seed", "-1"}), 2, "--seed: got -1, expected a number from 0");
  expect_complaint(run({"--out", "x", "--rate", "nan"}), 2, "--rate: got nan, expected a finite number");
  expect_complaint(run({"--out", "x", "--subset", "-5"}), 2, "--subset");
  expect_complaint(run({"--out", "x", "--log-level", "loud"}), 2, "--log-level");
}

TEST(CommandLine, ExceptionsBecomeOneLineAndAStatus) {
  expect_complaint(run({"--out", "x"}, [] { throw UsageError("no such\ndata"); }), 2, "no such data; see");
  expect_complaint(run({"--out", "x"}, [] { throw Error("broken\nfile"); }), 1, "broken file");
  expect_complaint(run({"--out", "x"}, [] { throw std::bad_alloc(); }), 1, "out of memory");
  expect_complaint(run({"--out", "x"}, [] { throw std::out_of_range("range"); }), 1, "range");
  expect_complaint(run({"--out", "x"}, [] { throw 3; }), 1, "unknown reason");
}

TEST(CommandLine, UnavailableDevicesAndLevelsAreUsageErrors) {
  Values values;
  values.compute.device = "gpu";
  EXPECT_THROW(apply(values.compute), UsageError);
  values.compute.device = "cpu";
  EXPECT_EQ(apply(values.compute).kind, DeviceKind::cpu);
}

TEST(CommandLine, ASignalStopsCleanlyAndSaysHowToResume) {
  const auto interrupted = [](int signal) {
    return [signal] {
      EXPECT_FALSE(stop_requested());
      raise(signal);
      EXPECT_TRUE(stop_requested());
      stop("checkpoint of step 12 saved");
    };
  };
  expect_complaint(run({"--out", "my run"}, interrupted(SIGINT)), 130,
                   "stopped by SIGINT: checkpoint of step 12 saved; to go on: train_it --out 'my run' --resume\n");
  clear_stop_request();
  expect_complaint(run({"--out", "x", "--resume"}, interrupted(SIGTERM)), 143, "to go on: train_it --out x --resume\n");
  clear_stop_request();
}

TEST(CommandLineDeath, ASecondSignalEndsTheProgramAtOnce) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        raise(SIGINT);
        raise(SIGINT);
        std::_Exit(0);
      },
      testing::KilledBySignal(SIGINT), "");
}

class ConfigFile : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    const std::string path = (folder_.path() / "options.json").string();
    std::ofstream(path) << text;
    return path;
  }
  TemporaryFolder folder_;
};

TEST_F(ConfigFile, FillsOptionsAndTheCommandLineOverridesIt) {
  const std::string file = write(
      R"({"out": "x", "steps": 5, "rate": 1e-5, "classes": [3], "names": ["c", "d,e"], "flips": true, "subset": null})");
  const Outcome outcome = run({"--config", file.c_str(), "--steps", "9"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.values.run.out, "x");
  EXPECT_EQ(outcome.values.steps, 9);
  EXPECT_EQ(outcome.values.rate, 1e-5);
  EXPECT_EQ(outcome.values.data.classes, std::vector<int>{3});
  EXPECT_EQ(outcome.values.names, (std::vector<std::string>{"c", "d,e"}));
  EXPECT_TRUE(outcome.values.flips);
}

TEST_F(ConfigFile, TheConfigOfARunRepeatsIt) {
  const Outcome first = run({"--out", "x", "--steps", "5", "--rate", "0.125", "--names", "q", "--classes", "1,2"});
  const nlohmann::ordered_json config = {{"program", "train_it"}, {"options", first.options}, {"date", "today"}};
  const std::string file = write(config.dump());
  const Outcome second = run({"--config", file.c_str()});
  ASSERT_EQ(second.status, 0) << second.error;
  EXPECT_EQ(second.options, first.options);
}

TEST_F(ConfigFile, MistakesNameTheFileAndTheKey) {
  const auto complaint = [this](const std::string& text, const std::string& says) {
    const std::string file = write(text);
    const Outcome outcome = run({"--out", "x", "--config", file.c_str()});
    expect_complaint(outcome, 2, says);
    EXPECT_TRUE(contains(outcome.error, file));
  };
  complaint(R"({"step": 5})", "unknown key 'step' (did you mean 'steps'?)");
  complaint(R"({"resume": true})", "unknown key 'resume'");
  complaint(R"({"steps": {"a": 1}})", "key 'steps'");
  complaint(R"({"names": [[1]]})", "key 'names'");
  complaint(R"({"steps": 5)", "not JSON (at byte 12)");
  complaint("[1]", "expected a JSON object");
  expect_complaint(run({"--out", "x", "--config", "/nowhere/c.json"}), 2, "--config /nowhere/c.json: cannot be read");
  const std::string file = write(R"({"steps": "many"})");
  expect_complaint(run({"--out", "x", "--config", file.c_str()}), 2, "--steps");
}

}  // namespace
}  // namespace tweedie::experiments
