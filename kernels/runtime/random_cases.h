#pragma once

#include "kernels/runtime/operation_case.h"
#include "kernels/runtime/random.h"

namespace tweedie {

inline std::vector<OperationCase> random_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const Shape& shape, bool samples, std::int64_t first_sample, CaseLevel level) {
    std::vector<Operand> operands{{.name = "out", .shape = shape, .role = Role::output}};
    if (samples)
      operands.push_back(
          {.name = "samples", .shape = {shape[0]}, .fill = Fill::indices, .dtype = DType::int64, .scale = 1e6});
    cases.push_back({"fill_normal", fmt::format("{}{} first={}", shape, samples ? " samples" : "", first_sample),
                     operands,
                     [=](Stream& stream, std::span<const Array> a) {
                       fill_normal(stream, {.out = a[0],
                                            .samples = samples ? a[1] : Array{},
                                            .first_sample = first_sample,
                                            .key = {.seed = 0x123456789abcdef0u, .step = 17}});
                     },
                     level});
  };
  add({1, 1}, false, 0, CaseLevel::quick);
  add({3, 31}, false, 5, CaseLevel::quick);
  add({3, 33}, true, 0, CaseLevel::quick);
  add({7, 4099}, true, 0, CaseLevel::quick);
  add({5, 64}, false, 1000000, CaseLevel::quick);
  add({1000, 2}, false, 0, CaseLevel::quick);
  add({97, 40961}, true, 0, CaseLevel::exhaustive);
  add({128, 1024}, true, 0, CaseLevel::benchmark);
  add({128, 3072}, true, 0, CaseLevel::benchmark);
  add({65536, 2}, false, 0, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
