#pragma once

#include <map>
#include <set>
#include <string_view>

#include "kernels/all_cases.h"

// The registry's cases with bfloat16 operands, for tests and kernel_bench.
namespace tweedie {

/// An operation that takes bfloat16 operands, and those of its floating operands that stay float32 beside them.
struct Bfloat16Operation {
  std::string_view name;
  std::set<std::string_view> float32 = {};
};

inline const std::vector<Bfloat16Operation>& bfloat16_operations() {
  static const std::vector<Bfloat16Operation> operations = {
      {"activation_forward"},
      {"activation_backward"},
      {"attention_forward", {"log_sum_exp"}},
      {"attention_backward", {"log_sum_exp"}},
      {"average_pool_forward"},
      {"average_pool_backward"},
      {"binary"},
      {"cast", {"y"}},
      {"conv2d_forward"},
      {"conv2d_data_gradient"},
      {"conv2d_filter_gradient", {"grad_weight", "grad_bias"}},
      {"copy_slice"},
      {"dropout"},
      {"embedding_lookup", {"table"}},
      {"embedding_lookup_backward", {"grad_table"}},
      {"fill_value"},
      {"fourier_embedding", {"t", "frequencies"}},
      {"group_norm_forward", {"gamma", "beta", "input_shift", "scale", "shift", "mean", "rstd"}},
      {"group_norm_backward",
       {"gamma", "beta", "input_shift", "scale", "shift", "mean", "rstd", "grad_input_shift", "grad_gamma", "grad_beta",
        "grad_scale", "grad_shift"}},
      {"layer_norm_forward", {"gamma", "beta", "scale", "shift", "mean", "rstd"}},
      {"layer_norm_backward",
       {"gamma", "beta", "scale", "shift", "mean", "rstd", "grad_gamma", "grad_beta", "grad_scale", "grad_shift"}},
      {"matmul", {"wide_c"}},
      {"noise_images", {"images", "alpha", "sigma", "target_clean", "target_noise"}},
      {"permute"},
      {"reduce", {"wide_y"}},
      {"scale_add"},
      {"sinusoidal_embedding", {"t"}},
      {"softmax_forward"},
      {"softmax_backward"},
      {"squared_error_forward", {"weight", "loss"}},
      {"squared_error_backward", {"weight", "grad_loss"}},
      {"unary"},
      {"unary_backward"},
      {"upsample_nearest_forward"},
      {"upsample_nearest_backward"},
  };
  return operations;
}

/// Operations that no activation of a network passes: they stay float32.
inline const std::set<std::string_view>& float32_operations() {
  static const std::set<std::string_view> operations = {
      "adam_step",   "count_nonfinite", "evaluate_empirical_score",
      "fill_normal", "global_norm",     "prepare_empirical_data",
  };
  return operations;
}

/// Those of the cases whose operations take bfloat16, with their activations in it.
inline std::vector<OperationCase> bfloat16_cases(std::vector<OperationCase> cases = all_cases()) {
  std::map<std::string_view, const Bfloat16Operation*> by_name;
  for (const Bfloat16Operation& operation : bfloat16_operations()) by_name[operation.name] = &operation;
  std::erase_if(cases, [&](const OperationCase& c) { return !by_name.contains(c.operation); });
  for (OperationCase& operation_case : cases)
    for (Operand& operand : operation_case.operands)
      if (operand.dtype == DType::float32 && !by_name[operation_case.operation]->float32.contains(operand.name))
        operand.dtype = DType::bfloat16;
  return cases;
}

}  // namespace tweedie
