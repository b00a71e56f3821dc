#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/experiments/run_binary.h"

namespace tweedie::experiments {
namespace {

using ::testing::HasSubstr;

TEST(KernelBench, ListsKernelsAndTrainingSteps) {
  const Outcome outcome = run_binary("kernel_bench", {"--list"});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  for (const char* name : {"train_step/unet-s/128", "train_step/ddpm-cifar10/8", "conv2d", "group_norm", "attention"})
    EXPECT_THAT(outcome.standard_output, HasSubstr(name));
}

TEST(KernelBench, GivesRatesAndSharesOfThisMachine) {
  const Outcome outcome =
      run_binary("kernel_bench", {"--filter", "^scale_add/", "--seconds", "0.001", "--format", "json"});
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const auto report = nlohmann::json::parse(outcome.standard_output);
  ASSERT_FALSE(report.at("benchmarks").empty());
  for (const auto& benchmark : report.at("benchmarks")) {
    EXPECT_THAT(benchmark.at("name").get<std::string>(), testing::StartsWith("scale_add/"));
    for (const char* rate : {"GFLOP/s", "GB/s", "of_gemm", "of_copy"})
      EXPECT_GT(benchmark.at(rate).get<double>(), 0.0) << benchmark.dump();
  }
  EXPECT_EQ(report.at("context").at("threads"), "1");
}

TEST(KernelBench, BadArgumentsAreRefusedInOneLine) {
  const auto refusal = [](const std::vector<std::string>& arguments, const std::string& message) {
    const Outcome outcome = run_binary("kernel_bench", arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.output;
    EXPECT_THAT(outcome.last_error_line(), HasSubstr(message));
    EXPECT_EQ(outcome.error_lines(), 1U) << outcome.errors;
  };
  refusal({"--filtr", "conv2d"}, "unknown flag '--filtr' (did you mean --filter?)");
  refusal({"--list", "--filter", "no such kernel"}, "matches no benchmark");
  refusal({"--list", "--filter", "("}, "not a regular expression");
  refusal({"--format", "xml"}, "--format");
  refusal({"--seconds", "0"}, "--seconds");
}

}  // namespace
}  // namespace tweedie::experiments
