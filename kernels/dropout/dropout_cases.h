#pragma once

#include "kernels/dropout/dropout.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> dropout_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const Shape& shape, double probability, Write write, CaseLevel level) {
    const bool accumulate = write == Write::accumulate;
    cases.push_back(
        {"dropout",
         fmt::format("{} p={}{}", shape, probability, accumulate ? " accumulate" : ""),
         {{.name = "x", .shape = shape},
          {.name = "samples", .shape = {shape[0]}, .fill = Fill::indices, .dtype = DType::int64, .scale = 1e6},
          {.name = "y", .shape = shape, .role = accumulate ? Role::accumulated : Role::output}},
         [=](Stream& stream, std::span<const Array> a) {
           apply_dropout(stream, {.x = a[0],
                                  .samples = a[1],
                                  .y = a[2],
                                  .probability = probability,
                                  .key = {.seed = 5, .purpose = Purpose::dropout, .step = 2},
                                  .write = write});
         },
         level});
  };
  for (const Write write : {Write::overwrite, Write::accumulate}) {
    add({1, 1}, 0.5, write, CaseLevel::quick);
    add({5, 33}, 0.0, write, CaseLevel::quick);
    add({3, 4099}, 0.1, write, CaseLevel::quick);
    add({7, 131}, 0.999, write, CaseLevel::quick);
    add({131, 5003}, 0.3, write, CaseLevel::exhaustive);
  }
  add({128, 32 * 32 * 64}, 0.1, Write::overwrite, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
