#pragma once

#include "kernels/loss/loss.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> loss_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const Shape& shape, bool weighted, CaseLevel level, double offset = 0.0) {
    const std::string label = fmt::format("{}{}{}", shape, weighted ? " weighted" : "", offset != 0.0 ? " offset" : "");
    const std::vector<Operand> inputs{{.name = "prediction", .shape = shape, .offset = offset},
                                      {.name = "target", .shape = shape, .offset = offset},
                                      {.name = "weight", .shape = {shape[0]}, .fill = Fill::positive}};
    std::vector<Operand> operands = inputs;
    operands.push_back({.name = "loss", .shape = {shape[0]}, .role = Role::output});
    cases.push_back({"squared_error_forward", label, operands,
                     [weighted](Stream& stream, std::span<const Array> a) {
                       squared_error_forward(
                           stream,
                           {.prediction = a[0], .target = a[1], .weight = weighted ? a[2] : Array{}, .loss = a[3]});
                     },
                     level});
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      const bool accumulate = write == Write::accumulate;
      if (accumulate && level == CaseLevel::benchmark) continue;
      operands = inputs;
      operands.push_back({.name = "grad_loss", .shape = {shape[0]}});
      operands.push_back(
          {.name = "grad_prediction", .shape = shape, .role = accumulate ? Role::accumulated : Role::output});
      cases.push_back({"squared_error_backward", label + (accumulate ? " accumulate" : ""), operands,
                       [weighted, write](Stream& stream, std::span<const Array> a) {
                         squared_error_backward(stream, {.prediction = a[0],
                                                         .target = a[1],
                                                         .weight = weighted ? a[2] : Array{},
                                                         .grad_loss = a[3],
                                                         .grad_prediction = a[4],
                                                         .write = write});
                       },
                       level});
    }
  };
  for (const bool weighted : {false, true}) {
    add({1, 1}, weighted, CaseLevel::quick);
    add({5, 31}, weighted, CaseLevel::quick);
    add({3, 33}, weighted, CaseLevel::quick);
    add({2, 4099}, weighted, CaseLevel::quick);
    add({67, 784}, weighted, CaseLevel::quick);
    add({131, 3077}, weighted, CaseLevel::exhaustive);
    add({128, 1024}, weighted, CaseLevel::benchmark);
  }
  add({3, 1027}, false, CaseLevel::quick, 1000.0);
  add({128, 3072}, true, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
