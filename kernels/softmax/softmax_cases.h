#pragma once

#include "kernels/runtime/operation_case.h"
#include "kernels/softmax/softmax.h"

namespace tweedie {

inline std::vector<OperationCase> softmax_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const Shape& shape, double scale, double offset, CaseLevel level) {
    const std::string label = fmt::format("{} scale={} offset={}", shape, scale, offset);
    cases.push_back({"softmax_forward",
                     label,
                     {{.name = "x", .shape = shape, .scale = scale, .offset = offset},
                      {.name = "y", .shape = shape, .role = Role::output}},
                     [](Stream& stream, std::span<const Array> a) { softmax_forward(stream, {.x = a[0], .y = a[1]}); },
                     level});
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      const bool accumulate = write == Write::accumulate;
      if (accumulate && level == CaseLevel::benchmark) continue;
      // The backward is linear in a given y: any y serves.
      cases.push_back({"softmax_backward",
                       label + (accumulate ? " accumulate" : ""),
                       {{.name = "y", .shape = shape, .fill = Fill::positive},
                        {.name = "grad_y", .shape = shape},
                        {.name = "grad_x", .shape = shape, .role = accumulate ? Role::accumulated : Role::output}},
                       [write](Stream& stream, std::span<const Array> a) {
                         softmax_backward(stream, {.y = a[0], .grad_y = a[1], .grad_x = a[2], .write = write});
                       },
                       level});
    }
  };
  add({1, 1}, 1.0, 0.0, CaseLevel::quick);
  add({5, 31}, 1.0, 0.0, CaseLevel::quick);
  add({3, 32}, 30.0, 0.0, CaseLevel::quick);  // all but the largest vanish
  add({4, 33}, 1.0, 1000.0, CaseLevel::quick);
  add({67, 64}, 3.0, -50.0, CaseLevel::quick);
  add({3, 127}, 3.0, 0.0, CaseLevel::quick);
  add({3, 301}, 3.0, 0.0, CaseLevel::quick);  // single values: more than a warp holds
  add({3, 400}, 3.0, 0.0, CaseLevel::quick);  // packs: all that a warp holds
  add({2, 512}, 3.0, 0.0, CaseLevel::quick);  // and at half the bytes a value
  add({2, 4099}, 3.0, 0.0, CaseLevel::quick);
  add({2, 9224}, 3.0, 0.0, CaseLevel::quick);  // packs: more than a block holds
  add({131, 1031}, 3.0, 0.0, CaseLevel::exhaustive);
  add({128 * 4 * 64, 64}, 1.0, 0.0, CaseLevel::benchmark);
  add({256, 60000}, 1.0, 0.0, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
