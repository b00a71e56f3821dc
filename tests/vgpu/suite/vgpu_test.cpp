// The virtual GPU's own tests: programs that must run clean under every check, and planted bugs that must be reported.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "suite/runner.h"

namespace {

constexpr int kFinding = 86;

void expect_clean(const std::string& options, const std::string& program) {
  const Outcome outcome = run_case(options, program, "");
  EXPECT_EQ(outcome.status, 0) << options << " " << program << "\n" << outcome.text;
  EXPECT_TRUE(outcome.says("ok ")) << outcome.text;
}

TEST(Programs, Arithmetic) {
  expect_clean("", "arithmetic");
}
TEST(Programs, ArithmeticWithoutAvx512) {
  setenv("VGPU_ISA", "avx2", 1);
  expect_clean("", "arithmetic");
  expect_clean("", "matrix");
  unsetenv("VGPU_ISA");
}
TEST(Programs, Memory) {
  expect_clean("", "memory");
}
TEST(Programs, MemoryUnderEveryCheck) {
  expect_clean("--check all", "memory");
}
TEST(Programs, Warp) {
  expect_clean("--check all", "warp");
}
TEST(Programs, Language) {
  expect_clean("--check all", "language");
}
TEST(Programs, WarpShuffled) {
  expect_clean("--seed 7 --threads 1", "warp");
}
TEST(Programs, Matrix) {
  expect_clean("--check mem,init,race,sync", "matrix");
}
TEST(Programs, Runtime) {
  expect_clean("--check mem,init,sync", "runtime");
}
TEST(Programs, Graphs) {
  expect_clean("--check all", "graphs");
}
TEST(Programs, Libraries) {
  expect_clean("--check mem,init", "libraries");
}

TEST(ProgramsOfCompute90, Arithmetic) {
  expect_clean("", "arithmetic_90");
}
TEST(ProgramsOfCompute90, Memory) {
  expect_clean("--check all", "memory_90");
}
TEST(ProgramsOfCompute90, Warp) {
  expect_clean("--check all", "warp_90");
  expect_clean("--seed 7 --threads 1", "warp_90");
}
TEST(ProgramsOfCompute90, Language) {
  expect_clean("--check all", "language_90");
}
TEST(ProgramsOfCompute90, Matrix) {
  expect_clean("--check all", "matrix_90");
}
TEST(ProgramsOfCompute90, Hopper) {
  expect_clean("--check all", "hopper_90");
  setenv("VGPU_ISA", "avx2", 1);
  expect_clean("", "hopper_90");
  unsetenv("VGPU_ISA");
}

TEST(Output, DevicePrintf) {
  const Outcome outcome = run_case("", "memory", "print");
  EXPECT_TRUE(outcome.says("thread 1 of warp: 1.500 -1099511627776 z    42|ff  |")) << outcome.text;
  EXPECT_TRUE(run_case("", "memory", "print_counts_and_long_text").says("xxxend 5\n"));
}

struct Bug {
  const char* name;
  const char* checks;
  const char* message;  // part of the report
  const char* place;    // part of what says where
};
class Planted : public testing::TestWithParam<Bug> {};
TEST_P(Planted, IsReported) {
  const Bug& bug = GetParam();
  const Outcome outcome = run_case(std::string("--check ") + bug.checks, "planted", bug.name);
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says(bug.message)) << outcome.text;
  EXPECT_TRUE(outcome.says(bug.place)) << outcome.text;
}
INSTANTIATE_TEST_SUITE_P(
    Bugs, Planted,
    testing::Values(Bug{"out_of_bounds_by_one", "mem", "0 bytes past the end of allocation", "thread (100, 0, 0)"},
                    Bug{"out_of_bounds_by_one", "mem", "illegal write of 4 bytes", "planted.cu:"},
                    Bug{"read_before_start", "mem", "4 bytes before allocation", "kernel _Z3sum"},
                    Bug{"use_after_free", "mem", "use after free", "block (0, 0, 0), thread (0, 0, 0)"},
                    Bug{"null_pointer", "mem", "a null pointer", "planted.cu:"},
                    Bug{"host_pointer", "mem", "a host pointer?", "planted.cu:"},
                    Bug{"double_free", "mem", "no live allocation starts there", "cudaFree"},
                    Bug{"copy_past_end", "mem", "404 bytes at offset 0 of allocation", "cudaMemcpy (destination)"},
                    Bug{"missing_barrier", "race", "one thread reads what another wrote", "planted.cu:"},
                    Bug{"blocks_write_same", "race", "two threads write global memory", "planted.cu:"},
                    Bug{"unordered_increment", "race", "racecheck", "planted.cu:"},
                    Bug{"read_of_unwritten", "init", "read of global memory that nothing wrote", "planted.cu:"},
                    Bug{"read_of_unwritten_shared", "init", "read of shared memory that nothing wrote",
                        "thread (58, 0, 0)"},
                    Bug{"barrier_in_divergent_branch", "sync", "barrier 0 in divergent code", "planted.cu:"},
                    Bug{"barrier_never_completes", "mem", "barrier 3 never completes", "planted.cu:"},
                    Bug{"misaligned_vector", "mem", "misaligned access of 16 bytes", "planted.cu:"},
                    Bug{"shared_out_of_bounds", "mem", "the block has 252 bytes of shared memory", "thread (63, 0, 0)"},
                    Bug{"too_much_shared", "mem", "50000 dynamic bytes of shared memory", "refused"},
                    Bug{"too_many_threads", "mem", "1025 threads a block", "refused"},
                    Bug{"failed_call", "mem,api", "api: a call of the runtime failed", "cudaErrorInvalidDevice"},
                    Bug{"missing_syncwarp", "race", "one thread reads what another wrote", "planted.cu:"},
                    Bug{"flag_without_release", "race", "one thread reads what another wrote shared", "planted.cu:"},
                    Bug{"texture_fetch", "mem", "the virtual GPU lacks this instruction", "tex.1d"},
                    Bug{"sparse_product", "mem", "the virtual GPU lacks this instruction", "mma.sp"},
                    Bug{"trap", "mem", "trap", "thread (7, 0, 0)"}),
    [](const auto& info) { return std::string(info.param.name) + "_" + std::to_string(info.index); });

TEST(PlantedLibrary, WrongLeadingDimensionIsReported) {
  Outcome outcome = run_case("", "libraries", "wrong_leading_dimension");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("cublasSgemm: A covers")) << outcome.text;
  outcome = run_case("", "libraries", "small_leading_dimension");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("the leading dimension of A is 4, less than its 8 rows")) << outcome.text;
}

TEST(PlantedOfCompute90, IsReported) {
  Outcome outcome = run_case("--check init", "hopper_90", "bulk_copy_without_wait");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("read of shared memory that nothing wrote")) << outcome.text;
  outcome = run_case("", "hopper_90", "bulk_copy_past_end");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("illegal read of 256 bytes")) << outcome.text;
  outcome = run_case("", "hopper_90", "clusters");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("unsupported: thread block clusters")) << outcome.text;
}

TEST(Planted, CleanTwinIsSilent) {
  const Outcome outcome = run_case("--check all", "planted", "with_barrier");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
}
TEST(Planted, ChecksCanBeLeftOut) {
  const Outcome outcome = run_case("--check mem", "planted", "missing_barrier");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
}

TEST(StreamOrders, CorrectProgramsAreRight) {  // with less memory than one of them allocates in all
  for (const char* order : {"issue", "late", "random", "random --seed 1", "random --seed 2", "random --seed 3"})
    expect_clean(std::string("--check all --memory 40000000 --streams ") + order, "streams");
  for (const char* order : {"late", "random --seed 4"})
    for (const char* program : {"runtime", "memory", "libraries"})
      expect_clean(std::string("--check mem,init,sync --streams ") + order, program);
}

// A bug that streams in order of issue hide. Values: the program finds other numbers than it should.
struct StreamBug {
  const char* name;
  int status;
  const char* message;
};
class PlantedStreams : public testing::TestWithParam<StreamBug> {};
TEST_P(PlantedStreams, IsHiddenInOrderOfIssueAndSeenLate) {
  const StreamBug& bug = GetParam();
  const std::string name = std::string("not:") + bug.name;
  Outcome outcome = run_case("--check all", "streams", name);
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  outcome = run_case("--check all --streams late", "streams", name);
  EXPECT_EQ(outcome.status, bug.status) << outcome.text;
  EXPECT_TRUE(outcome.says(bug.message)) << outcome.text;
}
TEST_P(PlantedStreams, IsSeenInOneOfTenRandomOrders) {
  int seen = 0;
  for (int seed = 1; seed <= 10; ++seed)
    seen +=
        run_case("--streams random --seed " + std::to_string(seed), "streams", std::string("not:") + GetParam().name)
            .status != 0;
  EXPECT_GT(seen, 0);
}
INSTANTIATE_TEST_SUITE_P(
    Bugs, PlantedStreams,
    testing::Values(StreamBug{"wait_of_another_stream", 1, "result[kCount - 1] == 6"},
                    StreamBug{"event_recorded_before_the_wait", 1, "y.get()[kCount - 1] == 6"},
                    StreamBug{"result_is_read_after_a_synchronisation", 1, "result[kCount - 1] == 5"},
                    StreamBug{"pinned_memory_is_filled_again_after_its_copy", 1, "x.get()[kCount - 1] == 3"},
                    StreamBug{"memory_is_freed_after_its_use", kFinding, "use after free"},
                    StreamBug{"memory_is_used_after_its_allocation", kFinding, "was never written"},
                    StreamBug{"blocking_streams_wait_for_the_legacy_stream", 1, "y.get()[kCount - 1] == 6"},
                    StreamBug{"legacy_stream_waits_for_blocking_streams", 1, "y.get()[kCount - 1] == 6"},
                    StreamBug{"copy_of_pageable_memory_and_another_stream", 1, "y.get()[kCount - 1] == 6"},
                    StreamBug{"nodes_of_a_graph_depend", 1, "y.get()[kCount - 1] == 6"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(StreamOrders, ErrorsOfKernelsComeWithTheWait) {
  const Outcome outcome = run_case("--streams late", "streams", "error_comes_with_the_wait");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("launch: cudaSuccess\n")) << outcome.text;
  EXPECT_TRUE(outcome.says("kernel _Z3set")) << outcome.text;
  EXPECT_TRUE(outcome.says("wait: cudaErrorIllegalAddress")) << outcome.text;
}
TEST(StreamOrders, OtherNamesAreRefused) {
  Outcome outcome = run_case("--streams later", "streams", "default_streams");
  EXPECT_EQ(outcome.status, 2) << outcome.text;
  EXPECT_TRUE(outcome.says("expected issue, late or random")) << outcome.text;
  outcome = run_case("--check memory", "streams", "default_streams");
  EXPECT_EQ(outcome.status, 2) << outcome.text;
  EXPECT_TRUE(outcome.says("unknown check 'memory'")) << outcome.text;
}

TEST(Mutant, LosesItsLastStore) {
  for (const std::string name : {"axpy", "_Z4axpyifPKfPf", "'axpy(int, float, float const*, float*)'"}) {
    const Outcome outcome = run_case("--mutate " + name, "memory", "elementwise");
    EXPECT_EQ(outcome.status, 1) << outcome.text;
    EXPECT_TRUE(outcome.says("FAILED elementwise")) << outcome.text;
  }
  EXPECT_EQ(run_case("--mutate reverse", "memory", "elementwise").status, 0);
}
TEST(Mutant, OfAKernelThatTheProgramLacks) {
  const Outcome outcome = run_case("--mutate axpi", "memory", "elementwise");
  EXPECT_EQ(outcome.status, 2) << outcome.text;
  EXPECT_TRUE(outcome.says("the program has no kernel axpi")) << outcome.text;
  EXPECT_TRUE(outcome.says("_Z4axpyifPKfPf")) << outcome.text;
}

TEST(Missing, EntryPointStopsWithItsName) {
  const Outcome outcome = run_case("", "libraries", "missing_entry_point");
  EXPECT_EQ(outcome.status, kFinding) << outcome.text;
  EXPECT_TRUE(outcome.says("lacks the entry point cudaCreateTextureObject")) << outcome.text;
}

TEST(Profile, CountsTransactions) {
  const std::string path = testing::TempDir() + "vgpu_profile.json";
  const Outcome outcome = run_case("--profile " + path, "profiled", "");
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  bool coalesced = false, strided = false, banks = false;
  for (const auto& kernel : json["kernels"]) {
    const std::string name = kernel["name"];
    const auto& load = kernel["global_load"];
    if (name.find("coalesced") != std::string::npos) {
      coalesced = true;
      EXPECT_EQ(load["sectors_per_request"].get<double>(), 4.0);
      EXPECT_EQ(load["sector_efficiency"].get<double>(), 1.0);
      EXPECT_EQ(load["bytes_moved"].get<int>(), 4096 * 4);
      EXPECT_EQ(kernel["global_store"]["bytes_moved"].get<int>(), 4096 * 4);
      EXPECT_EQ(kernel["footprint"]["read_bytes"].get<int>(), 4096 * 4);
      EXPECT_EQ(kernel["lane_efficiency"].get<double>(), 1.0);
    }
    if (name.find("strided") != std::string::npos) {
      strided = true;
      EXPECT_EQ(load["sectors_per_request"].get<double>(), 32.0);
    }
    if (name.find("conflicts") != std::string::npos) {
      banks = true;
      // 32 lanes on one bank, and then a padded column without conflicts.
      EXPECT_EQ(kernel["shared"]["bank_conflicts"].get<int>(), 31);
    }
  }
  EXPECT_TRUE(coalesced && strided && banks);
}

}  // namespace
