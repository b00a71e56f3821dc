#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cuda/table/resources.h"

// What the table says about a kernel, and what --check has against it.
namespace tweedie::kernel_table {

struct Row {
  std::string name;
  double contract_bytes = 0.0, contract_flops = 0.0;
  double moved = 0.0;      // bytes of all requests, in whole sectors
  double footprint = 0.0;  // distinct sectors of each launch: what a cache that forgets nothing would fetch and write
  double worst_efficiency = 1.0, flops = 0.0, mma_flops = 0.0, conflicts = 0.0, wavefronts = 0.0, lanes = 1.0;
  int registers = 0, spilled = 0, warps = 64;
};

/// Kernels that do a few operations an element and should move what their contract says and no more.
bool waits_for_memory(const std::string& name);
/// Kernels that multiply matrices, and what works on the products.
bool waits_for_arithmetic(const std::string& name);

/// One benchmark's row, from its contract ({"bytes", "flops"}), the profile's kernels and what ptxas gave them. Kernels
/// that only make ready what the benchmark starts from are left out. Throws std::runtime_error for one without figures.
Row row_of(const std::string& name, const nlohmann::json& contract, const nlohmann::json& kernels,
           const std::map<std::string, Resources>& resources);

/// Floating-point operations of a profile's kernels.
struct Work {
  double tensor = 0.0, others = 0.0;
  double tensor_share() const { return tensor / (tensor + others); }
};
Work work_of(const nlohmann::json& kernels);

/// What --check has against a row, or against a training step's work; empty where nothing.
std::string complaint(const Row& row);
std::string complaint(const std::string& step, const Work& work);

/// Every complaint, and the status that they make the program end with.
class Verdict {
 public:
  void add(const std::string& complaint) {
    if (!complaint.empty()) complaints_.push_back(complaint);
  }
  const std::vector<std::string>& complaints() const { return complaints_; }
  int status() const { return complaints_.empty() ? 0 : 1; }

 private:
  std::vector<std::string> complaints_;
};

}  // namespace tweedie::kernel_table
