#include "experiments/common/jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "experiments/common/json_lines.h"
#include "experiments/common/log.h"
#include "experiments/common/signals.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/parallel.h"
#include "nn/io/file.h"
#include "tests/experiments/temporary_folder.h"

#include <nlohmann/json.hpp>

namespace tweedie::experiments {
namespace {

using ::testing::HasSubstr;

class Jobs : public testing::TestWithParam<int> {
 protected:
  Jobs() { omp_set_num_threads(GetParam()); }
  ~Jobs() override {
    omp_set_num_threads(before_);
    clear_stop_request();
  }
  void run(std::int64_t count, const std::function<void(std::int64_t)>& job) {
    run_jobs(count, Device{}, job, [&](std::int64_t i) { done_.push_back(i); });
  }
  std::filesystem::path file(std::int64_t i) const { return temporary_.path() / std::to_string(i); }

  int before_ = omp_get_max_threads();
  TemporaryFolder temporary_;
  std::vector<std::int64_t> done_;
};

TEST_P(Jobs, EachRunsOnceOnItsShareOfTheThreads) {
  // OpenMP has threads in this process before any worker is forked.
  std::vector<int> used(64);
  parallel_for(64, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) used[static_cast<std::size_t>(i)] = omp_get_thread_num();
  });
  const std::int64_t count = 3;
  const int share = std::max(1, GetParam() / static_cast<int>(jobs_at_once(count, Device{})));
  run(count, [&](std::int64_t i) {
    std::vector<double> values(1000);
    parallel_for(1000, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t k = first; k < last; ++k) values[static_cast<std::size_t>(k)] = static_cast<double>(k * i);
    });
    std::ofstream(file(i), std::ios::app)
        << omp_get_max_threads() << " " << std::accumulate(values.begin(), values.end(), 0.0);
  });
  EXPECT_THAT(done_, testing::UnorderedElementsAre(0, 1, 2));
  for (std::int64_t i = 0; i < count; ++i)
    EXPECT_EQ(io::read_text(file(i)), fmt::format("{} {}", share, 499500 * i)) << i;
}

TEST_P(Jobs, FailuresKeepTheirKindAndTheirWords) {
  const auto with = [&](const auto& job) { run(4, job); };
  EXPECT_THROW(with([](std::int64_t i) {
                 if (i == 1) throw UsageError("--rate 7: too much");
               }),
               UsageError);
  try {
    with([](std::int64_t i) { require(i != 2, "loss is NaN in job {}", i); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const UsageError&) {
    ADD_FAILURE() << "not a mistake of the user";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("loss is NaN in job 2"));
  }
  EXPECT_THROW(with([](std::int64_t i) {
                 if (i == 0) throw Interrupted(SIGTERM, "saved");
               }),
               Interrupted);
}

TEST_P(Jobs, LinesOfManyProcessesStayWhole) {
  const std::filesystem::path path = temporary_.path() / "metrics.jsonl";
  JsonLines lines(path);
  run(4, [&](std::int64_t i) {
    for (int k = 0; k < 50; ++k) {
      lines.append({{"job", i}, {"step", k}, {"filling", std::string(3000, 'x')}});
      if (k == 25) lines.keep_if([](const nlohmann::ordered_json&) { return true; });
    }
  });
  std::ifstream file(path);
  std::map<std::int64_t, std::int64_t> steps;
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line);
    EXPECT_EQ(record.at("step"), steps[record.at("job").get<std::int64_t>()]++);
  }
  EXPECT_EQ(steps, (std::map<std::int64_t, std::int64_t>{{0, 50}, {1, 50}, {2, 50}, {3, 50}}));
}

INSTANTIATE_TEST_SUITE_P(Threads, Jobs, testing::Values(1, 2, 4, 6));

TEST(JobsBesideEachOther, AWorkerThatDiesIsAnError) {
  omp_set_num_threads(2);
  try {
    run_jobs(
        2, Device{}, [](std::int64_t) { ::raise(SIGKILL); }, [](std::int64_t) {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("ended by signal 9"));
  }
}

TEST(JobsBesideEachOther, ASignalIsPassedOnAndAllSaveWhatTheyDo) {
  const TemporaryFolder temporary;
  const auto file = [&](const std::string& name) { return temporary.path() / name; };
  omp_set_num_threads(2);
  install_signal_handlers();
  const pid_t parent = ::getpid();
  EXPECT_THROW(run_jobs(
                   5, Device{},
                   [&](std::int64_t i) {
                     std::ofstream(file(fmt::format("{} began", i))) << "";
                     // The signal comes once two run.
                     for (int k = 0; k < 1000 && !std::filesystem::exists(file("1 began")); ++k) ::usleep(10'000);
                     if (i == 0) ::kill(parent, SIGTERM);
                     for (int k = 0; k < 1000 && !stop_requested(); ++k) ::usleep(10'000);
                     if (!stop_requested()) return;
                     std::ofstream(file(fmt::format("{} saved", i))) << "";
                     stop("saved");
                   },
                   [](std::int64_t) {}),
               Interrupted);
  clear_stop_request();
  for (const char* name : {"0 saved", "1 saved"}) EXPECT_TRUE(std::filesystem::exists(file(name))) << name;
  EXPECT_FALSE(std::filesystem::exists(file("2 began")));
}

TEST(JobsBesideEachOther, OnCudaThereIsOne) {
  EXPECT_EQ(jobs_at_once(8, Device{.kind = DeviceKind::cuda}), 1);
}

}  // namespace
}  // namespace tweedie::experiments
