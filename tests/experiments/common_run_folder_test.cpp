#include "experiments/common/run_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "experiments/common/build_info.h"
#include "experiments/common/json_lines.h"
#include "experiments/common/resources.h"
#include "kernels/runtime/error.h"
#include "tests/experiments/temporary_folder.h"

namespace tweedie::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return std::string("usage: ") + error.what();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

#define EXPECT_SAYS(action, part)                                               \
  do {                                                                          \
    const std::string message = message_of([&] { action; });                    \
    EXPECT_NE(message.find(part), std::string::npos) << "message: " << message; \
  } while (false)

class Folder : public testing::Test {
 protected:
  ordered_json config(int seed = 0, int threads = 1) const {
    return {{"program", "p"}, {"command", "p"}, {"options", {{"seed", seed}, {"threads", threads}}}, {"date", "now"}};
  }
  TemporaryFolder temporary_;
  fs::path out_ = temporary_.path() / "runs" / "a";
};

TEST_F(Folder, IsMadeWithItsParts) {
  const RunFolder folder(out_, Existing::refuse, config());
  EXPECT_FALSE(folder.resumed());
  EXPECT_EQ(ordered_json::parse(read(out_ / "config.json")), config());
  for (const fs::path& part : {folder.arrays(), folder.images(), folder.checkpoints()}) {
    EXPECT_TRUE(fs::is_directory(part));
  }
}

TEST_F(Folder, RefusesWhatIsNotEmpty) {
  { const RunFolder folder(out_, Existing::refuse, config()); }
  EXPECT_SAYS(RunFolder(out_, Existing::refuse, config()),
              "usage: --out " + out_.string() + ": the folder is not empty");
  EXPECT_SAYS(RunFolder(out_, Existing::refuse, config()), "--resume");
  const fs::path other = temporary_.path() / "mine";
  fs::create_directories(other);
  std::ofstream(other / "thesis.tex") << "all my work";
  for (const Existing existing : {Existing::refuse, Existing::resume, Existing::overwrite}) {
    EXPECT_SAYS(RunFolder(other, existing, config()), "usage: --out " + other.string());
  }
  EXPECT_EQ(read(other / "thesis.tex"), "all my work");
  EXPECT_EQ(std::distance(fs::directory_iterator(other), {}), 1);
}

TEST_F(Folder, OverwriteDeletesTheRunAndNothingElse) {
  {
    RunFolder folder(out_, Existing::refuse, config(1));
    folder.metrics().append({{"step", 1}});
    std::ofstream(folder.arrays() / "x.npy") << "x";
  }
  std::ofstream(out_ / "notes.txt") << "mine";
  const RunFolder folder(out_, Existing::overwrite, config(2));
  EXPECT_EQ(read(out_ / "metrics.jsonl"), "");
  EXPECT_FALSE(fs::exists(folder.arrays() / "x.npy"));
  EXPECT_EQ(read(out_ / "notes.txt"), "mine");
  EXPECT_EQ(ordered_json::parse(read(out_ / "config.json")), config(2));
}

TEST_F(Folder, ResumesOnlyTheSameRun) {
  { const RunFolder folder(out_, Existing::resume, config(1)); }  // nothing there yet: begins
  {
    const RunFolder folder(out_, Existing::resume, config(1, 8));  // another thread count is allowed
    EXPECT_TRUE(folder.resumed());
  }
  const ordered_json written = ordered_json::parse(read(out_ / "config.json"));
  EXPECT_EQ(written.at("resumed").size(), 1U);
  EXPECT_SAYS(RunFolder(out_, Existing::resume, config(2)),
              "usage: --resume: the run in " + out_.string() + " has --seed 1, not 2");
  { const RunFolder folder(out_, Existing::resume, config(2), {"seed"}); }
  ordered_json other = config(2);
  other["program"] = "q";
  EXPECT_SAYS(RunFolder(out_, Existing::resume, other), "has program \"p\", not \"q\"");
}

TEST_F(Folder, ARunKilledBeforeItsConfigBeginsAnew) {
  fs::create_directories(out_ / "arrays");
  std::ofstream(out_ / ".config.json.partial-12-0") << "{";
  const RunFolder folder(out_, Existing::resume, config());
  EXPECT_FALSE(folder.resumed());
  EXPECT_FALSE(fs::exists(out_ / ".config.json.partial-12-0"));
}

TEST_F(Folder, TwoRunsDoNotShareIt) {
  {
    const RunFolder folder(out_, Existing::refuse, config());
    EXPECT_SAYS(RunFolder(out_, Existing::resume, config()), "another run is using this folder");
    EXPECT_SAYS(RunFolder(out_, Existing::overwrite, config()), "another run is using this folder");
  }
  EXPECT_NO_THROW(RunFolder(out_, Existing::resume, config()));
}

TEST_F(Folder, UnwritablePlacesAreNamed) {
  std::ofstream(temporary_.path() / "file") << "x";
  EXPECT_SAYS(RunFolder(temporary_.path() / "file" / "run", Existing::refuse, config()), "file/run: the folder cannot");
  EXPECT_SAYS(RunFolder(temporary_.path() / "file", Existing::refuse, config()), "file: the folder cannot be made");
  EXPECT_SAYS(RunFolder("/proc/run", Existing::refuse, config()), "/proc/run: the folder cannot be made");
  EXPECT_SAYS(RunFolder("", Existing::refuse, config()), "usage: --out");
}

TEST_F(Folder, MetricsAreCutBackToAStep) {
  {
    RunFolder folder(out_, Existing::refuse, config());
    for (int step = 1; step <= 5; ++step) folder.metrics().append({{"step", step}, {"loss", 0.1 * step}});
    EXPECT_EQ(read(out_ / "metrics.jsonl").substr(0, 24), "{\"step\":1,\"loss\":0.1}\n{\"");  // no waiting for a flush
  }
  std::ofstream(out_ / "metrics.jsonl", std::ios::app) << "{\"step\":2,\"lo";  // killed in mid-line
  RunFolder folder(out_, Existing::resume, config());
  folder.cut_metrics(3);
  folder.metrics().append({{"step", 4}, {"again", true}});
  EXPECT_EQ(read(out_ / "metrics.jsonl"),
            "{\"step\":1,\"loss\":0.1}\n{\"step\":2,\"loss\":0.2}\n{\"step\":3,\"loss\":0.30000000000000004}\n"
            "{\"step\":4,\"again\":true}\n");
  std::ofstream(out_ / "metrics.jsonl", std::ios::app) << "garbage\n{\"step\":9}\n";
  EXPECT_SAYS(folder.cut_metrics(3), "metrics.jsonl: the line at byte");
}

TEST_F(Folder, NumbersThatAreNotFiniteAreRefusedByName) {
  RunFolder folder(out_, Existing::refuse, config());
  folder.write_results({{"b", 1.5}, {"a", {1, 2}}});
  EXPECT_EQ(read(out_ / "results.json"), "{\n  \"b\": 1.5,\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const ordered_json bad = {{"contrastive", {{{"error", 1.0}}, {{"error", nan}}}}};
  EXPECT_SAYS(folder.write_results(bad), "results.json: contrastive[1].error is nan, expected a finite number");
  EXPECT_SAYS(folder.metrics().append({{"loss", 1 / 0.0}}), "metrics.jsonl: loss is inf");
  EXPECT_EQ(ordered_json::parse(read(out_ / "results.json")).at("b"), 1.5);  // the old file stands
}

TEST(JsonLines, AFullDiskIsAnError) {
  JsonLines lines("/dev/full");
  EXPECT_SAYS(lines.append({{"step", 1}}), "/dev/full: cannot be written: No space left on device");
}

TEST(Resources, TooLittleIsSaidWithNeedAndSupply) {
  const std::int64_t exbibyte = std::int64_t{1} << 60;
  EXPECT_NO_THROW(require_memory(1 << 20, "weights"));
  EXPECT_NO_THROW(require_disk("/", 1 << 10, "metrics"));
  EXPECT_SAYS(require_memory(exbibyte, "activations"), "needs about 1.0 EiB for activations, ");
  EXPECT_SAYS(require_disk("/nowhere/yet", exbibyte, "checkpoints"), "/nowhere/yet: too little disk");
  EXPECT_GT(available_memory(), 1 << 20);
  EXPECT_GT(available_disk("/"), 0);
}

TEST(Resources, AnEstimateIsSaidBeforeItIsChecked) {
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW(announce({.memory_bytes = 1 << 20, .disk_bytes = 1 << 10, .seconds = 90}, "/tmp"));
  EXPECT_SAYS(announce({.memory_bytes = std::int64_t{1} << 60, .disk_bytes = 1}, "/tmp"), "too little memory");
  EXPECT_SAYS(announce({.memory_bytes = 1, .disk_bytes = std::int64_t{1} << 60}, "/tmp"), "/tmp: too little disk");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "this run takes about 1.0 MiB of memory, 1.0 KiB of disk and 1 min 30 s\n"
            "this run takes about 1.0 EiB of memory, 1 byte of disk\n"
            "this run takes about 1 byte of memory, 1.0 EiB of disk\n");
}

TEST(Resources, BytesAndTimesReadWell) {
  EXPECT_EQ(human_bytes(1023), "1023 bytes");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(std::int64_t{20} << 30), "20 GiB");
  EXPECT_EQ(human_duration(1.25), "1.2 s");
  EXPECT_EQ(human_duration(59.4), "59 s");
  EXPECT_EQ(human_duration(250), "4 min 10 s");
  EXPECT_EQ(human_duration(7500), "2 h 5 min");
}

TEST(BuildInfo, NamesTheRevisionAndTheLibraries) {
  const ordered_json info = build_info();
  EXPECT_TRUE(git_revision() == "unknown" || git_revision().size() == 40 || git_revision().size() == 46)
      << git_revision();
  for (const char* library : {"oneDNN", "highway", "fmt", "CLI11", "nlohmann_json", "libpng", "zlib"}) {
    EXPECT_TRUE(std::isdigit(info.at("libraries").at(library).get<std::string>().at(0))) << info.dump(2);
  }
  EXPECT_GT(host_info().at("cores").get<int>(), 0);
}

}  // namespace
}  // namespace tweedie::experiments
