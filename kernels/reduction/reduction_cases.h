#pragma once

#include "kernels/reduction/reduction.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> reduction_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](ReduceKind kind, const Shape& x, Write write, CaseLevel level, Fill fill = Fill::normal,
                       double offset = 0.0) {
    const bool accumulate = write == Write::accumulate;
    cases.push_back(
        {"reduce",
         fmt::format("{} {}{}{}{}", kind == ReduceKind::sum ? "sum" : "mean", x, accumulate ? " accumulate" : "",
                     fill == Fill::small_integers ? " integers" : "", offset != 0.0 ? " offset" : ""),
         {{.name = "x", .shape = x, .fill = fill, .offset = offset},
          {.name = "y", .shape = {x[0], x[2]}, .role = accumulate ? Role::accumulated : Role::output, .fill = fill}},
         [=](Stream& stream, std::span<const Array> a) {
           reduce(stream, {.kind = kind, .x = a[0], .y = a[1], .write = write});
         },
         level});
  };
  for (const ReduceKind kind : {ReduceKind::sum, ReduceKind::mean})
    for (const Write write : {Write::overwrite, Write::accumulate})
      for (const Shape& x : {Shape{1, 1, 1}, Shape{1, 4099, 1}, Shape{7, 33, 1}, Shape{1, 67, 33}, Shape{3, 1, 5},
                             Shape{2, 1031, 31}, Shape{5, 3, 32}, Shape{1, 131, 257}, Shape{70, 9, 3}})
        add(kind, x, write, CaseLevel::quick);
  add(ReduceKind::sum, {1, 0, 3}, Write::overwrite, CaseLevel::quick);  // an empty sum is 0
  add(ReduceKind::sum, {3, 501, 17}, Write::overwrite, CaseLevel::quick, Fill::small_integers);
  add(ReduceKind::mean, {1, 20011, 3}, Write::overwrite, CaseLevel::quick, Fill::normal, 1e4);
  add(ReduceKind::mean, {1, 200003, 1}, Write::overwrite, CaseLevel::quick, Fill::normal, 1e4);
  add(ReduceKind::sum, {1, 131072, 33}, Write::overwrite, CaseLevel::exhaustive);
  add(ReduceKind::sum, {129, 1021, 7}, Write::accumulate, CaseLevel::exhaustive);
  // Bias gradients of convolutions, and a mean over positions.
  add(ReduceKind::sum, {1, 128 * 1024, 32}, Write::accumulate, CaseLevel::benchmark);
  add(ReduceKind::sum, {1, 128 * 1024, 64}, Write::accumulate, CaseLevel::benchmark);
  add(ReduceKind::sum, {1, 128 * 64, 128}, Write::accumulate, CaseLevel::benchmark);
  add(ReduceKind::mean, {128, 1024, 64}, Write::overwrite, CaseLevel::benchmark);
  add(ReduceKind::sum, {128, 65536, 1}, Write::overwrite, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
