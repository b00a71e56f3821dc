#pragma once

#include "kernels/resample/resample.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> resample_cases() {
  std::vector<OperationCase> cases;
  // `coarse` times factor, and for the pool `rest` more rows and columns that fill no block.
  const auto add = [&](const Shape& coarse, int factor, std::int64_t rest, Fill fill, CaseLevel level) {
    const Shape fine{coarse[0], coarse[1] * factor, coarse[2] * factor, coarse[3]};
    const Shape ragged{fine[0], fine[1] + rest, fine[2] + rest, fine[3]};
    const std::string label =
        fmt::format("{} factor={}{}", coarse, factor, fill == Fill::small_integers ? " integers" : "");
    const std::string pool_label = label + fmt::format(" rest={}", rest);
    const auto input = [&](const char* name, const Shape& shape) {
      return Operand{.name = name, .shape = shape, .fill = fill};
    };
    const auto output = [&](const char* name, const Shape& shape, bool accumulate) {
      return Operand{.name = name, .shape = shape, .role = accumulate ? Role::accumulated : Role::output, .fill = fill};
    };
    if (rest == 0)
      cases.push_back({"upsample_nearest_forward",
                       label,
                       {input("x", coarse), output("y", fine, false)},
                       [factor](Stream& stream, std::span<const Array> a) {
                         upsample_nearest_forward(stream, {.x = a[0], .y = a[1], .factor = factor});
                       },
                       level});
    cases.push_back({"average_pool_forward",
                     pool_label,
                     {input("x", ragged), output("y", coarse, false)},
                     [factor](Stream& stream, std::span<const Array> a) {
                       average_pool_forward(stream, {.x = a[0], .y = a[1], .factor = factor});
                     },
                     level});
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      const bool accumulate = write == Write::accumulate;
      if (accumulate && level == CaseLevel::benchmark) continue;
      const char* suffix = accumulate ? " accumulate" : "";
      if (rest == 0)
        cases.push_back({"upsample_nearest_backward",
                         label + suffix,
                         {input("grad_y", fine), output("grad_x", coarse, accumulate)},
                         [factor, write](Stream& stream, std::span<const Array> a) {
                           upsample_nearest_backward(
                               stream, {.grad_y = a[0], .grad_x = a[1], .factor = factor, .write = write});
                         },
                         level});
      cases.push_back({"average_pool_backward",
                       pool_label + suffix,
                       {input("grad_y", coarse), output("grad_x", ragged, accumulate)},
                       [factor, write](Stream& stream, std::span<const Array> a) {
                         average_pool_backward(stream,
                                               {.grad_y = a[0], .grad_x = a[1], .factor = factor, .write = write});
                       },
                       level});
    }
  };
  add({1, 1, 1, 1}, 1, 0, Fill::normal, CaseLevel::quick);
  add({2, 3, 5, 33}, 2, 0, Fill::normal, CaseLevel::quick);
  add({2, 3, 5, 33}, 2, 1, Fill::normal, CaseLevel::quick);
  add({3, 7, 1, 31}, 3, 0, Fill::normal, CaseLevel::quick);
  add({1, 4, 3, 1}, 3, 2, Fill::normal, CaseLevel::quick);
  add({2, 5, 3, 32}, 2, 0, Fill::small_integers, CaseLevel::quick);
  add({1, 2, 2, 16}, 7, 0, Fill::normal, CaseLevel::quick);
  add({1, 2, 3, 5}, 7, 1, Fill::normal, CaseLevel::quick);
  add({17, 13, 11, 67}, 2, 1, Fill::normal, CaseLevel::exhaustive);
  add({128, 16, 16, 64}, 2, 0, Fill::normal, CaseLevel::benchmark);
  add({128, 8, 8, 128}, 2, 0, Fill::normal, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
