#pragma once

#include "kernels/reduction/reduction.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> reduction_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](ReduceKind kind, const Shape& x, Write write, CaseLevel level, Fill fill = Fill::normal,
                       double offset = 0.0, bool wide = false) {
    const bool accumulate = write == Write::accumulate;
    cases.push_back({"reduce",
                     fmt::format("{} {}{}{}{}{}", kind == ReduceKind::sum ? "sum" : "mean", x,
                                 accumulate ? " accumulate" : "", fill == Fill::small_integers ? " integers" : "",
                                 offset != 0.0 ? " offset" : "", wide ? " wide" : ""),
                     {{.name = "x", .shape = x, .fill = fill, .offset = offset},
                      {.name = wide ? "wide_y" : "y",
                       .shape = {x[0], x[2]},
                       .role = accumulate ? Role::accumulated : Role::output,
                       .fill = fill}},
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
  // Bias gradients, which stay float32 where x is bfloat16: in one piece and in several, by packs and by single
  // columns.
  const auto add_wide = [&](const Shape& x, Write write, CaseLevel level) {
    add(ReduceKind::sum, x, write, level, Fill::normal, 0.0, true);
  };
  add_wide({1, 67, 36}, Write::overwrite, CaseLevel::quick);
  add_wide({2, 4099, 3}, Write::accumulate, CaseLevel::quick);
  for (const Shape& x : {Shape{1, 128 * 1024, 32}, Shape{1, 128 * 1024, 64}, Shape{1, 128 * 64, 128}})
    add_wide(x, Write::accumulate, CaseLevel::benchmark);
  // A mean over positions.
  add(ReduceKind::mean, {128, 1024, 64}, Write::overwrite, CaseLevel::benchmark);
  add(ReduceKind::sum, {128, 65536, 1}, Write::overwrite, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
