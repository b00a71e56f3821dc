#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "diffusion/checkpoint.h"
#include "experiments/common/build_info.h"
#include "nn/io/file.h"
#include "nn/io/npy.h"
#include "tests/experiments/run_binary.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

using Changes = std::map<std::string, std::string>;  // option to value; "" for a flag

class TrainDsm : public testing::Test {
 protected:
  /// A run of some milliseconds, but for `changes`.
  std::vector<std::string> arguments(const std::string& out, const Changes& changes) const {
    Changes all = {{"--data", "shapes"}, {"--subset", "64"},          {"--resolution", "8"}, {"--network", "mlp:16x1"},
                   {"--steps", "6"},     {"--checkpoint-every", "3"}, {"--batch", "8"},      {"--log-every", "2"},
                   {"--held-out", "8"},  {"--samples", "4"}};
    for (const auto& [name, value] : changes) all[name] = value;
    if (!out.empty()) all["--out"] = path(out);
    std::vector<std::string> words;
    for (const auto& [name, value] : all) {
      words.push_back(name);
      if (!value.empty()) words.push_back(value);
    }
    return words;
  }
  Outcome run(const std::string& out, const Changes& changes = {}, const Limits& limits = {}) const {
    return run_binary("train_dsm", arguments(out, changes), limits);
  }
  std::string path(const std::string& name) const { return temporary_.path() / name; }
  std::string text(const std::string& name) const { return io::read_text(path(name)); }
  void write(const std::string& name, const std::string& content) const { std::ofstream(path(name)) << content; }

  /// The files of a run that say nothing of when and where it ran.
  void expect_same_run(const std::string& a, const std::string& b) const {
    for (const std::string file : {"results.json", "metrics.jsonl", "images/samples.png"})
      EXPECT_EQ(text(a + "/" + file), text(b + "/" + file)) << file;
    std::vector<std::string> checkpoints[2];
    for (const std::size_t i : {0U, 1U})
      for (const auto& entry : fs::directory_iterator(path((i == 0 ? a : b) + "/checkpoints")))
        checkpoints[i].push_back(entry.path().filename());
    for (auto& names : checkpoints) std::sort(names.begin(), names.end());
    ASSERT_FALSE(checkpoints[0].empty());
    EXPECT_EQ(checkpoints[0].back(), checkpoints[1].back());
    for (const auto& entry : fs::directory_iterator(path(a + "/checkpoints/" + checkpoints[0].back()))) {
      const std::string file = "/checkpoints/" + checkpoints[0].back() + "/" + entry.path().filename().string();
      EXPECT_EQ(text(a + file), text(b + file)) << file;
    }
  }
  /// One line of complaint that contains `message`, and no folder.
  void expect_refusal(const Outcome& outcome, int status, const std::string& message,
                      const std::string& out = "bad") const {
    EXPECT_EQ(outcome.status, status) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
    EXPECT_EQ(outcome.error_lines(), 1U) << outcome.errors;
    EXPECT_EQ(outcome.standard_output, "");
    EXPECT_FALSE(fs::exists(path(out)));
  }
  bool has_partial_file(const std::string& name) const {
    for (const auto& entry : fs::recursive_directory_iterator(path(name)))
      if (entry.path().filename().string().find(".partial") != std::string::npos) return true;
    return false;
  }

  TemporaryFolder temporary_;
};

TEST_F(TrainDsm, WritesTheFilesOfARun) {
  const Outcome outcome = run("run");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.standard_output, path("run/report.html") + "\n");
  const auto config = ordered_json::parse(text("run/config.json"));
  EXPECT_EQ(config.at("program"), "train_dsm");
  EXPECT_EQ(config.at("options").at("network"), "mlp:16x1");
  EXPECT_EQ(config.at("options").at("steps"), 6);
  EXPECT_EQ(config.at("images"), 64);
  for (const char* key : {"command", "build", "host", "date", "device"}) EXPECT_TRUE(config.contains(key)) << key;

  std::istringstream lines(text("run/metrics.jsonl"));
  std::vector<std::int64_t> steps;
  for (std::string line; std::getline(lines, line);) {
    const auto record = ordered_json::parse(line);
    steps.push_back(record.at("step"));
    EXPECT_GT(record.at("loss").get<double>(), 0.0);
    EXPECT_GT(record.at("held_out_loss").get<double>(), 0.0);
    EXPECT_EQ(record.at("loss_n"), 16);
  }
  EXPECT_THAT(steps, testing::ElementsAre(2, 4, 6));

  const auto results = ordered_json::parse(text("run/results.json"));
  EXPECT_EQ(results.at("steps"), 6);
  EXPECT_GT(results.at("flops").get<double>(), 0.0);
  for (const char* key : {"loss", "loss_se", "held_out_loss", "held_out_loss_average_weights", "parameters", "seed"})
    EXPECT_TRUE(results.at(key).is_number()) << key;
  EXPECT_THAT(text("run/report.html"), HasSubstr("<svg"));
  for (const std::string step : {"step-00000003", "step-00000006"}) {
    const fs::path checkpoint = path("run/checkpoints/" + step);
    EXPECT_EQ(read_checkpoint_info(checkpoint).step, step.back() - '0');
    for (const WeightKind kind : {WeightKind::raw, WeightKind::average})
      EXPECT_EQ(load_checkpoint(checkpoint, kind)->network().parameter_count(), results.at("parameters"));
  }
  // The configuration of a run is one that can be given.
  ASSERT_EQ(run_binary("train_dsm", {"--config", path("run/config.json"), "--out", path("again")}).status, 0);
  expect_same_run("run", "again");
}

TEST_F(TrainDsm, TheSameCommandGivesTheSameBytes) {
  const Changes unet = {{"--network", "unet:8x1"}, {"--data", "fashion-mnist"},
                        {"--view", "edm"},         {"--conditional", ""},
                        {"--steps", "2"},          {"--samples", "1"}};
  ASSERT_EQ(run("a", unet).status, 0);
  ASSERT_EQ(run("b", unet).status, 0);
  expect_same_run("a", "b");
  Changes other = unet;
  other["--seed"] = "1";
  ASSERT_EQ(run("c", other).status, 0);
  EXPECT_NE(text("a/results.json"), text("c/results.json"));
}

/// Long enough to be interrupted: fifteen checkpoints.
const Changes long_run = {{"--steps", "300"}, {"--checkpoint-every", "20"}, {"--log-every", "30"}};

TEST_F(TrainDsm, GoesOnBitForBitAfterSigkill) {
  ASSERT_EQ(run("unbroken", long_run).status, 0);
  RunningBinary killed("train_dsm", arguments("broken", long_run));
  ASSERT_TRUE(killed.wait_until([&] { return fs::exists(path("broken/checkpoints/step-00000040")); }));
  killed.send(SIGKILL);
  ASSERT_EQ(killed.wait().signal, SIGKILL);
  ASSERT_FALSE(fs::exists(path("broken/results.json")));
  // What a kill in the middle of a write leaves, at worst.
  fs::create_directories(path("broken/checkpoints/step-00000290.partial"));
  write("broken/checkpoints/step-00000290.partial/trainer.json", "{\"step\": 7");
  write("broken/.results.json.partial-1-0", "{");
  std::ofstream(path("broken/metrics.jsonl"), std::ios::app) << "{\"model\":\"mlp:16x1\",\"st";

  Changes resume = long_run;
  resume["--resume"] = "";
  const Outcome outcome = run("broken", resume);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.errors, HasSubstr("going on from step"));
  EXPECT_FALSE(has_partial_file("broken"));
  expect_same_run("unbroken", "broken");
}

TEST_F(TrainDsm, SigtermSavesAndSaysHowToGoOn) {
  ASSERT_EQ(run("unbroken", long_run).status, 0);
  for (const int signal : {SIGTERM, SIGINT}) {
    fs::remove_all(path("broken"));
    RunningBinary stopped("train_dsm", arguments("broken", long_run));
    ASSERT_TRUE(stopped.wait_until([&] { return fs::exists(path("broken/checkpoints/step-00000020")); }));
    stopped.send(signal);
    const Outcome outcome = stopped.wait();
    EXPECT_EQ(outcome.status, 128 + signal) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(signal == SIGTERM ? "stopped by SIGTERM" : "stopped by SIGINT"));
    EXPECT_THAT(outcome.last_error_line(), HasSubstr("is saved at step"));
    EXPECT_THAT(outcome.last_error_line(), EndsWith("--resume"));
    EXPECT_FALSE(has_partial_file("broken"));
  }
  Changes resume = long_run;
  resume["--resume"] = "";
  ASSERT_EQ(run("broken", resume).status, 0);
  expect_same_run("unbroken", "broken");
}

TEST_F(TrainDsm, EveryViewTrainsAndSamples) {
  for (const std::string process : {"linear", "edm", "cosine"})
    for (const std::string view : {"eps", "x0", "edm"}) {
      const Outcome outcome =
          run(process + view, {{"--process", process}, {"--view", view}, {"--steps", "1"}, {"--samples", "1"}});
      EXPECT_EQ(outcome.status, 0) << process << " " << view << ": " << outcome.output;
    }
}

TEST_F(TrainDsm, DryRunSaysWhatIsNeededAndWritesNothing) {
  const Outcome outcome = run("dry", {{"--dry-run", ""}});
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.errors, HasSubstr("of memory"));
  EXPECT_FALSE(fs::exists(path("dry")));
}

TEST_F(TrainDsm, BadArgumentsAreRefusedInOneLine) {
  const auto refusal = [&](const Changes& changes, const std::string& message, int status = 2) {
    expect_refusal(run("bad", changes), status, message);
  };
  refusal({{"--learning-rte", "1"}}, "unknown flag '--learning-rte' (did you mean --learning-rate?)");
  write("c.json", R"({"bacth": 3})");
  refusal({{"--config", path("c.json")}}, "unknown key 'bacth' (did you mean 'batch'?)");
  refusal({{"--config", path("none.json")}}, "none.json");
  refusal({{"--batch", "65"}}, "--batch 65 is larger than the data, 64 images");
  refusal({{"--subset", "60001"}}, "60001 images asked for, data 'shapes' (train) have 60000");
  refusal({{"--network", "unet:8x1"}, {"--resolution", "10"}}, "their sides must be multiples of 4");
  refusal({{"--network", "unet:8z"}}, "network 'unet:8z'");
  refusal({{"--data", "fashion"}}, "data 'fashion' are unknown");
  refusal({{"--learning-rate", "nan"}}, "--learning-rate");
  refusal({{"--steps", "-1"}}, "--steps");
  refusal({{"--process", "lineal"}}, "process: unknown name 'lineal'");
  refusal({{"--view", "w"}}, "view: unknown name 'w'");
  refusal({{"--levels", "normal"}}, "normal");
  refusal({{"--resume", ""}, {"--overwrite", ""}}, "exclude each other");
  if (!build_info().at("cuda").get<bool>()) refusal({{"--device", "cuda"}}, "this build has no CUDA backend");
  refusal({{"--precision", "float16"}}, "float16");
}

TEST_F(TrainDsm, BadDataFilesAreRefusedInOneLine) {
  const auto refusal = [&](const std::string& file, const std::string& message) {
    const Outcome outcome = run("bad", {{"--data", path(file)}, {"--subset", "0"}, {"--resolution", "0"}});
    expect_refusal(outcome, 1, message);
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(file));
  };
  const auto npy = [&](const std::string& file, std::string header, std::size_t bytes) {
    header.resize(117, ' ');
    write(file, std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + std::string(bytes, '\0'));
  };
  refusal("none.npy", "No such file");
  npy("order.npy", "{'descr': '<f4', 'fortran_order': True, 'shape': (4, 1, 8, 8), }", 1024);
  refusal("order.npy", "Fortran");
  npy("type.npy", "{'descr': '<c8', 'fortran_order': False, 'shape': (4, 1, 8, 8), }", 2048);
  refusal("type.npy", "<c8");
  npy("short.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1, 8, 8), }", 1000);
  refusal("short.npy", "1000");
  npy("header.npy", "{'descr': '<f4', 'shape': (4, 1, 8, 8), }", 1024);
  refusal("header.npy", "fortran_order");
}

TEST_F(TrainDsm, DamagedIdxAndCifarFilesAreRefusedInOneLine) {
  write("images.gz", "\x1f\x8b\x08 and no more");
  expect_refusal(run("bad", {{"--data", "idx:" + path("images.gz")}, {"--subset", "0"}}), 1, "images.gz");
  write("images", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x04\0\0\0\x04", 16) + std::string(31, 'x'));
  expect_refusal(run("bad", {{"--data", "idx:" + path("images")}, {"--subset", "0"}}), 1, "images");
  fs::create_directories(path("cifar"));
  for (const std::string name : {"1", "2", "3", "4", "5"}) write("cifar/data_batch_" + name + ".bin", "short");
  expect_refusal(run("bad", {{"--data", "cifar10:" + path("cifar")}, {"--subset", "0"}}), 1, "data_batch_1.bin");
}

TEST_F(TrainDsm, NetworkConfigurationsAreChecked) {
  write("net.json", R"({"_class_name": "UNet2DModel", "sample_size": 8, "attention_type": "linear"})");
  expect_refusal(run("bad", {{"--network", path("net.json")}}), 1, "attention_type");
  write("net.json", "{");
  expect_refusal(run("bad", {{"--network", path("net.json")}}), 1, "net.json");
  expect_refusal(run("bad", {{"--network", path("none.json")}}), 1, "none.json");
}

TEST_F(TrainDsm, AFolderThatIsNotItsOwnStaysAsItIs) {
  write("file", "x");
  expect_refusal(run("file/run"), 1, "file is not a folder", "file/run");
  fs::create_directories(path("mine"));
  write("mine/notes.txt", "x");
  const Outcome outcome = run("mine");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.error_lines(), 1U);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("not empty"));
  EXPECT_EQ(run("mine", {{"--overwrite", ""}}).status, 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(path("mine")), fs::directory_iterator()), 1);
}

TEST_F(TrainDsm, AResumedRunMustBeTheSameRun) {
  ASSERT_EQ(run("run").status, 0);
  const std::string before = text("run/config.json");
  Outcome outcome = run("run", {{"--resume", ""}, {"--batch", "16"}});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("has --batch 8, not 16"));
  EXPECT_EQ(text("run/config.json"), before);
  // A damaged checkpoint is named, and stays.
  const std::string weights = "run/checkpoints/step-00000006/diffusion_pytorch_model.safetensors";
  fs::resize_file(path(weights), fs::file_size(path(weights)) - 1);
  outcome = run("run", {{"--resume", ""}});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr(weights));
}

TEST_F(TrainDsm, AFullDiskLeavesNothingHalfWritten) {
  ASSERT_EQ(run("unbroken").status, 0);
  // Weights have 11 KB, the optimiser's state 22 KB: the first fails at the former, the second at the latter.
  for (const rlim_t most : {rlim_t{8192}, rlim_t{16384}}) {
    fs::remove_all(path("run"));
    const Outcome outcome = run("run", {}, {.file_size = most});
    EXPECT_EQ(outcome.status, 1) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr("File too large"));
    EXPECT_THAT(outcome.last_error_line(), HasSubstr("step-00000003"));
    EXPECT_FALSE(has_partial_file("run"));
    EXPECT_TRUE(fs::is_empty(path("run/checkpoints")));
    EXPECT_FALSE(fs::exists(path("run/results.json")));
  }
  ASSERT_EQ(run("run", {{"--resume", ""}}).status, 0);
  expect_same_run("unbroken", "run");
  // Records too are whole or absent.
  const Outcome outcome = run("records", {{"--checkpoint-every", "0"}}, {.file_size = 4096});
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("metrics.jsonl: cannot be written: File too large"));
  EXPECT_THAT(text("records/metrics.jsonl"), EndsWith("}\n"));
  EXPECT_EQ(run("output", {}, {.full_output = true}).status, 1);
  // A run outlives a log that is full.
  EXPECT_EQ(run("log", {}, {.full_errors = true}).status, 0);
  EXPECT_EQ(run("log", {}, {.full_errors = true}).status, 2);
}

TEST_F(TrainDsm, TooLittleDiskIsSaidBeforeTheRun) {
  const Outcome outcome = run("bad", {{"--steps", "1000000000000"}, {"--checkpoint-every", "1"}});
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("too little disk: this run needs about"));
  EXPECT_FALSE(fs::exists(path("bad")));
}

TEST_F(TrainDsm, TooLittleMemoryIsSaidBeforeTheRun) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer itself needs terabytes of address space";
#endif
  // From far too little to just too little: each time a message, never a crash.
  for (const rlim_t mebibytes : {220, 300}) {
    const Outcome outcome = run("bad", {{"--network", "mlp:4000x2"}}, {.address_space = mebibytes << 20});
    EXPECT_EQ(outcome.status, 1) << mebibytes << ": " << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr("memory")) << mebibytes;
    EXPECT_FALSE(fs::exists(path("bad")));
  }
}

TEST_F(TrainDsm, ALossThatIsNotFiniteNamesStepAndOperation) {
  const Outcome outcome = run("run", {{"--network", "mlp:16x4"},
                                      {"--steps", "1000"},
                                      {"--learning-rate", "1e6"},
                                      {"--warmup", "0"},
                                      {"--clip", "0"},
                                      {"--checkpoint-every", "0"}});
  EXPECT_EQ(outcome.status, 1) << outcome.output;
  EXPECT_THAT(outcome.last_error_line(), testing::ContainsRegex("training step [0-9]+: the loss is"));
  EXPECT_THAT(outcome.last_error_line(), testing::ContainsRegex("first, [a-z_]+"));
  EXPECT_FALSE(fs::exists(path("run/results.json")));
}

TEST_F(TrainDsm, InterventionsAreFlags) {
  ASSERT_EQ(run("first").status, 0);
  const Changes cases[] = {
      {{"--region-ratio", "2"}, {"--target", "posterior:4"}},
      {{"--target", "batch:16"}, {"--process", "vp"}, {"--view", "eps"}},
      {{"--source", "shells:0.1"}, {"--target", "exact"}, {"--view", "edm"}},
      {{"--region-ratio", "2"}, {"--target", "duplicated"}, {"--network", "unet:4x1"}},
      {{"--source", "trajectory:" + path("first/checkpoints/step-00000006") + ",8"}, {"--target", "posterior"}}};
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const std::string out = fmt::format("run{}", i);
    const Outcome outcome = run(out, cases[i]);
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    const auto results = ordered_json::parse(text(out + "/results.json"));
    EXPECT_EQ(results.at("region"), cases[i].contains("--region-ratio") ? 128 : 64);
    EXPECT_GT(results.at("loss").get<double>(), 0.0);
  }
}

TEST_F(TrainDsm, InterventionsThatCannotBeAreRefused) {
  expect_refusal(run("bad", {{"--target", "posterir"}}), 2, "posterior[:K]");
  expect_refusal(run("bad", {{"--source", "shells:-1"}}), 2, "shells");
  expect_refusal(run("bad", {{"--region-ratio", "100000"}}), 2, "--region-ratio");
  ASSERT_EQ(run("first").status, 0);
  expect_refusal(run("bad", {{"--source", "trajectory:" + path("first/checkpoints/step-00000006") + ",8"}}), 1,
                 "conditional target");
}

}  // namespace
}  // namespace tweedie::experiments
