#pragma once

#include <limits>

#include "kernels/optimizer/optimizer.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> optimizer_cases() {
  std::vector<OperationCase> cases;
  struct Adam {
    std::vector<std::int64_t> counts;  // elements of each parameter
    bool average = true, scaled = false;
    double weight_decay = 0.0;
    std::int64_t step = 1;
    CaseLevel level = CaseLevel::quick;
  };
  const auto describe = [](const std::vector<std::int64_t>& counts) {
    std::string text;
    for (const std::int64_t count : counts) text += (text.empty() ? "" : "+") + std::to_string(count);
    return text;
  };
  const auto add_adam = [&](const Adam& adam) {
    std::vector<Operand> operands{{.name = "gradient_scale", .shape = {1}, .fill = Fill::positive}};
    for (const std::int64_t count : adam.counts) {
      operands.push_back({.name = "parameter", .shape = {count}, .role = Role::accumulated});
      operands.push_back({.name = "gradient", .shape = {count}});
      operands.push_back({.name = "first_moment", .shape = {count}, .role = Role::accumulated});
      operands.push_back(
          {.name = "second_moment", .shape = {count}, .role = Role::accumulated, .fill = Fill::positive});
      operands.push_back({.name = "average", .shape = {count}, .role = Role::accumulated});
    }
    cases.push_back({"adam_step",
                     fmt::format("{}{}{} decay={} step={}", describe(adam.counts), adam.average ? " average" : "",
                                 adam.scaled ? " scaled" : "", adam.weight_decay, adam.step),
                     operands,
                     [adam](Stream& stream, std::span<const Array> a) {
                       std::vector<OptimizerTensor> tensors;
                       for (std::size_t i = 0; i < adam.counts.size(); ++i)
                         tensors.push_back({.parameter = a[5 * i + 1],
                                            .gradient = a[5 * i + 2],
                                            .first_moment = a[5 * i + 3],
                                            .second_moment = a[5 * i + 4],
                                            .average = adam.average ? a[5 * i + 5] : Array{}});
                       adam_step(stream, {.tensors = tensors,
                                          .gradient_scale = adam.scaled ? a[0] : Array{},
                                          .weight_decay = adam.weight_decay,
                                          .step = adam.step});
                     },
                     adam.level});
  };
  add_adam({.counts = {1}});
  add_adam({.counts = {31, 32, 33}, .average = false});
  add_adam({.counts = {4099, 1, 517}, .scaled = true, .step = 7});
  add_adam({.counts = {20011, 33}, .scaled = true, .weight_decay = 0.01, .step = 1000});
  add_adam(
      {.counts = {65537, 3, 70001}, .average = false, .weight_decay = 0.1, .step = 3, .level = CaseLevel::exhaustive});
  add_adam({.counts = {32 * 9 * 32, 64 * 9 * 64, 64 * 9 * 128, 128 * 9 * 128, 128, 1 << 20},
            .scaled = true,
            .step = 10,
            .level = CaseLevel::benchmark});
  add_adam({.counts = {1 << 22}, .level = CaseLevel::benchmark});

  /// `infinite`: whether the first array, for count_nonfinite, is.
  const auto add_arrays = [&](const std::vector<std::int64_t>& counts, double max_norm, CaseLevel level,
                              bool infinite = false) {
    std::vector<Operand> operands{{.name = "norm", .shape = {1}, .role = Role::output},
                                  {.name = "scale", .shape = {1}, .role = Role::output}};
    for (const std::int64_t count : counts) operands.push_back({.name = "array", .shape = {count}});
    cases.push_back({"global_norm", fmt::format("{} max_norm={}", describe(counts), max_norm), operands,
                     [max_norm](Stream& stream, std::span<const Array> a) {
                       global_norm(stream, {.arrays = a.subspan(2), .norm = a[0], .scale = a[1], .max_norm = max_norm});
                     },
                     level});
    operands[0] = {.name = "count", .shape = {1}, .role = Role::output, .dtype = DType::int64};
    operands.erase(operands.begin() + 1);
    if (infinite) operands[1].scale = std::numeric_limits<double>::infinity();
    cases.push_back({"count_nonfinite", describe(counts), operands,
                     [](Stream& stream, std::span<const Array> a) {
                       count_nonfinite(stream, {.arrays = a.subspan(1), .count = a[0]});
                     },
                     level});
  };
  add_arrays({1}, 0.0, CaseLevel::quick);
  add_arrays({31, 32, 33, 4099}, 1.0, CaseLevel::quick, true);
  add_arrays({20011, 3}, 1e6, CaseLevel::quick);
  add_arrays({65537, 131073, 1}, 0.5, CaseLevel::exhaustive);
  add_arrays({1 << 20, 128, 128 * 9 * 128}, 1.0, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
