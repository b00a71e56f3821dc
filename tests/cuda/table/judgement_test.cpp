#include "tests/cuda/table/judgement.h"

#include <gtest/gtest.h>

// Each check of kernel_table, seen to fail by a hair and to pass by one.
namespace tweedie::kernel_table {
namespace {

constexpr double contract_bytes = 1e6;
constexpr const char* kernel_name = "_Z6kernelv";

/// A kernel's profile without a fault, as the virtual GPU writes it.
nlohmann::json clean_profile() {
  return {{"name", kernel_name},
          {"block_threads", 256},
          {"static_shared", 0},
          {"dynamic_shared", 0},
          {"flops", 5e6},
          {"mma_flops", 95e6},
          {"lane_efficiency", 1.0},
          {"global_load", {{"bytes_moved", 0.6e6}}},
          {"global_store", {{"bytes_moved", 0.4e6}}},
          {"footprint", {{"read_bytes", 0.6e6}, {"write_bytes", 0.4e6}}},
          {"shared", {{"bank_conflicts", 0}, {"wavefronts", 100}}},
          {"lines", {{{"sectors", 0.6e6 / 32}, {"bytes", 0.6e6}}, {{"sectors", 0.4e6 / 32}, {"bytes", 0.4e6}}}}};
}

std::string complaint_about(const std::string& benchmark, const nlohmann::json& profile,
                            const Resources& resources = {.registers = 32, .spilled_bytes = 0}) {
  return complaint(row_of(benchmark, {{"bytes", contract_bytes}, {"flops", 1e6}}, nlohmann::json::array({profile}),
                          {{kernel_name, resources}}));
}

constexpr const char* of_memory = "softmax_forward/rows=4";
constexpr const char* of_arithmetic = "matmul/native m=512 n=512 k=512";

TEST(KernelTable, HasNothingAgainstACleanKernel) {
  for (const char* benchmark : {of_memory, of_arithmetic}) EXPECT_EQ(complaint_about(benchmark, clean_profile()), "");
}

TEST(KernelTable, CountsBytesBeyondTheContract) {
  nlohmann::json profile = clean_profile();
  profile["footprint"]["read_bytes"] = 0.71e6;
  EXPECT_EQ(complaint_about(of_memory, profile), std::string(of_memory) + " moves 1.11 times its contract's bytes");
  EXPECT_EQ(complaint_about(of_arithmetic, profile), "");  // products may read an operand again
  profile["footprint"]["read_bytes"] = 0.69e6;
  EXPECT_EQ(complaint_about(of_memory, profile), "");
}

TEST(KernelTable, LeavesOutWhatPreparesABenchmark) {
  nlohmann::json cast = clean_profile();
  cast["name"] = "_Z11cast_kernelv";
  const nlohmann::json kernels = nlohmann::json::array({clean_profile(), cast});
  const nlohmann::json contract = {{"bytes", contract_bytes}, {"flops", 1e6}};
  const std::map<std::string, Resources> resources = {{kernel_name, {}}, {"_Z11cast_kernelv", {}}};
  EXPECT_EQ(row_of(of_memory, contract, kernels, resources).footprint, contract_bytes);
  EXPECT_EQ(row_of("cast/n=4", contract, kernels, resources).footprint, 2 * contract_bytes);
}

TEST(KernelTable, WantsFiguresForEveryKernel) {
  EXPECT_THROW(row_of(of_memory, {{"bytes", 1.0}, {"flops", 1.0}}, nlohmann::json::array({clean_profile()}), {}),
               std::runtime_error);
}

TEST(KernelTable, SeesWastedSectors) {
  nlohmann::json profile = clean_profile();
  profile["lines"][1]["bytes"] = 0.9 * 0.4e6;
  EXPECT_EQ(complaint_about(of_memory, profile), std::string(of_memory) + " uses 0.90 of its sectors");
  profile = clean_profile();
  profile["lines"].push_back({{"sectors", 0.009e6 / 32}, {"bytes", 0.001e6}});  // less than a hundredth of the whole
  EXPECT_EQ(complaint_about(of_memory, profile), "");
}

TEST(KernelTable, SeesABankConflict) {
  nlohmann::json profile = clean_profile();
  profile["shared"]["bank_conflicts"] = 1;
  for (const char* benchmark : {of_memory, of_arithmetic})
    EXPECT_EQ(complaint_about(benchmark, profile), std::string(benchmark) + " has 1 bank conflicts");
}

TEST(KernelTable, SeesASpill) {
  for (const char* benchmark : {of_memory, of_arithmetic})
    EXPECT_EQ(complaint_about(benchmark, clean_profile(), {.registers = 32, .spilled_bytes = 8}),
              std::string(benchmark) + " spills 8 bytes");
}

TEST(KernelTable, CountsResidentWarps) {
  nlohmann::json profile = clean_profile();
  profile["block_threads"] = 7 * 32;  // one block of 255 registers a thread fits, and no second one
  for (const char* benchmark : {of_memory, of_arithmetic})
    EXPECT_EQ(complaint_about(benchmark, profile, {.registers = 255, .spilled_bytes = 0}),
              std::string(benchmark) + " keeps 7 warps resident");
  profile["block_threads"] = 8 * 32;
  EXPECT_EQ(complaint_about(of_arithmetic, profile, {.registers = 255, .spilled_bytes = 0}), "");
  profile["block_threads"] = 4 * 32;
  profile["dynamic_shared"] = 100 << 10;  // one block's shared memory fits
  EXPECT_EQ(complaint_about(of_arithmetic, profile), std::string(of_arithmetic) + " keeps 4 warps resident");
}

TEST(KernelTable, WantsTheWorkOfAStepOnTensorCores) {
  nlohmann::json profile = clean_profile();
  EXPECT_EQ(complaint("step", work_of(nlohmann::json::array({profile}))), "");  // 95 %
  nlohmann::json others = clean_profile();
  others["mma_flops"] = 93e6;
  others["flops"] = 7e6;
  EXPECT_EQ(complaint("step", work_of(nlohmann::json::array({profile, others}))),  // 94 %
            "step has less than 95 % of its work on tensor cores");
  EXPECT_NE(complaint("step", work_of(nlohmann::json::array())), "");  // of nothing at all
}

TEST(KernelTable, FailsWhereThereIsAComplaint) {
  Verdict verdict;
  verdict.add("");
  EXPECT_EQ(verdict.status(), 0);
  verdict.add("softmax spills");
  verdict.add("");
  EXPECT_EQ(verdict.status(), 1);
  EXPECT_EQ(verdict.complaints(), std::vector<std::string>{"softmax spills"});
}

}  // namespace
}  // namespace tweedie::kernel_table
