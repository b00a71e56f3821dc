#include "tests/cuda/table/judgement.h"

#include <fmt/core.h>

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace tweedie::kernel_table {
namespace {

void add_kernel(Row& row, const nlohmann::json& kernel, const std::map<std::string, Resources>& resources) {
  for (const char* side : {"global_load", "global_store"}) row.moved += kernel.at(side).value("bytes_moved", 0.0);
  row.footprint += kernel.at("footprint").value("read_bytes", 0.0) + kernel.at("footprint").value("write_bytes", 0.0);
  row.flops += kernel.value("flops", 0.0);
  row.mma_flops += kernel.value("mma_flops", 0.0);
  row.conflicts += kernel.at("shared").value("bank_conflicts", 0.0);
  row.wavefronts += kernel.at("shared").value("wavefronts", 0.0);
  row.lanes = std::min(row.lanes, kernel.value("lane_efficiency", 1.0));
  const auto kernel_name = kernel.at("name").get<std::string>();
  const auto found = resources.find(kernel_name);
  if (found == resources.end()) throw std::runtime_error("ptxas gave no figures for kernel " + kernel_name);
  const Resources of_kernel = found->second;
  row.registers = std::max(row.registers, of_kernel.registers);
  row.spilled += of_kernel.spilled_bytes;
  row.warps =
      std::min(row.warps, resident_warps(of_kernel, kernel.value("block_threads", 32),
                                         kernel.value("static_shared", 0l) + kernel.value("dynamic_shared", 0l)));
}

/// The least share of the bytes in the sectors of a load or store that its lanes wanted; what moves less than a
/// hundredth of the whole does not count.
double worst_efficiency(const nlohmann::json& kernels, double moved) {
  double worst = 1.0;
  for (const auto& kernel : kernels)
    for (const auto& line : kernel.at("lines")) {
      const double sectors = 32.0 * line.value("sectors", 0.0);
      if (sectors > 0.01 * moved) worst = std::min(worst, line.value("bytes", 0.0) / sectors);
    }
  return worst;
}

/// Whether the kernel only makes ready what the benchmark of this name starts from.
bool prepares(const std::string& kernel, const std::string& name) {
  static const std::regex of_data("(column_sums|centre|squared_norms)_kernel"), of_operands("cast_kernel");
  return (!name.starts_with("cast/") && std::regex_search(kernel, of_operands)) ||
         (name.starts_with("evaluate_empirical_score/") && std::regex_search(kernel, of_data));
}

}  // namespace

bool waits_for_memory(const std::string& name) {
  static const std::regex names(
      "^(binary|unary|unary_backward|scale_add|fill_value|cast|activation_\\w+|group_norm_\\w+|layer_norm_\\w+|"
      "softmax_\\w+|adam_step|global_norm|count_nonfinite|noise_images|squared_error_\\w+|dropout|copy_slice|permute|"
      "upsample_\\w+|average_pool_\\w+|fill_normal|reduce|embedding_\\w+|prepare_empirical_data)/");
  return std::regex_search(name, names);
}

bool waits_for_arithmetic(const std::string& name) {
  static const std::regex names("^(matmul|conv2d_\\w+|attention_\\w+|evaluate_empirical_score)/");
  return std::regex_search(name, names);
}

Row row_of(const std::string& name, const nlohmann::json& contract, const nlohmann::json& kernels,
           const std::map<std::string, Resources>& resources) {
  Row row{.name = name, .contract_bytes = contract.at("bytes"), .contract_flops = contract.at("flops")};
  nlohmann::json counted = nlohmann::json::array();
  for (const auto& kernel : kernels)
    if (!prepares(kernel.at("name"), name)) counted.push_back(kernel);
  for (const auto& kernel : counted) add_kernel(row, kernel, resources);
  row.worst_efficiency = worst_efficiency(counted, row.moved);
  return row;
}

Work work_of(const nlohmann::json& kernels) {
  Work work;
  for (const auto& kernel : kernels) {
    work.tensor += kernel.value("mma_flops", 0.0);
    work.others += kernel.value("flops", 0.0);
  }
  return work;
}

std::string complaint(const Row& row) {
  if (row.spilled > 0) return fmt::format("{} spills {} bytes", row.name, row.spilled);
  if (row.conflicts > 0.0) return fmt::format("{} has {:.0f} bank conflicts", row.name, row.conflicts);
  if (row.warps < 8) return fmt::format("{} keeps {} warps resident", row.name, row.warps);
  if (waits_for_arithmetic(row.name)) return {};
  if (row.footprint > 1.1 * row.contract_bytes)
    return fmt::format("{} moves {:.2f} times its contract's bytes", row.name, row.footprint / row.contract_bytes);
  if (row.worst_efficiency < 0.999) return fmt::format("{} uses {:.2f} of its sectors", row.name, row.worst_efficiency);
  return {};
}

std::string complaint(const std::string& step, const Work& work) {
  if (work.tensor_share() >= 0.95) return {};
  return fmt::format("{} has less than 95 % of its work on tensor cores", step);
}

}  // namespace tweedie::kernel_table
