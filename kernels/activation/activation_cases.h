#pragma once

#include "kernels/activation/activation.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> activation_cases() {
  struct Kind {
    ActivationKind kind;
    const char* name;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](const Kind& kind, const Shape& shape, double scale, double offset, CaseLevel level) {
    const auto operand = [&](const char* name, Role role) {
      return Operand{.name = name, .shape = shape, .role = role, .scale = scale, .offset = offset};
    };
    const std::string label = fmt::format("{} {} scale={} offset={}", kind.name, shape, scale, offset);
    cases.push_back({"activation_forward",
                     label,
                     {operand("x", Role::input), operand("y", Role::output)},
                     [=](Stream& stream, std::span<const Array> a) {
                       activation_forward(stream, {.kind = kind.kind, .x = a[0], .y = a[1]});
                     },
                     level});
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      if (level == CaseLevel::benchmark && write == Write::accumulate) continue;
      const bool accumulate = write == Write::accumulate;
      cases.push_back({"activation_backward",
                       label + (accumulate ? " accumulate" : ""),
                       {operand("x", Role::input),
                        {.name = "grad_y", .shape = shape},
                        {.name = "grad_x", .shape = shape, .role = accumulate ? Role::accumulated : Role::output}},
                       [=](Stream& stream, std::span<const Array> a) {
                         activation_backward(
                             stream, {.kind = kind.kind, .x = a[0], .grad_y = a[1], .grad_x = a[2], .write = write});
                       },
                       level});
    }
  };
  for (const Kind& kind : {Kind{ActivationKind::silu, "silu"}, Kind{ActivationKind::gelu, "gelu"},
                           Kind{ActivationKind::gelu_tanh, "gelu_tanh"}, Kind{ActivationKind::relu, "relu"}}) {
    for (const std::int64_t count : {1, 31, 32, 33, 4099})
      add(kind, {count}, count == 4099 ? 5.0 : 1.0, 0.0, CaseLevel::quick);
    add(kind, {7, 129}, 40.0, 0.0, CaseLevel::quick);  // saturated on both sides
    add(kind, {517}, 1.6, -4.0, CaseLevel::quick);     // the negative tail
    add(kind, {3, 65537}, 2.0, 0.0, CaseLevel::exhaustive);
    add(kind, {128, 32, 32, 64}, 1.0, 0.0, CaseLevel::benchmark);
  }
  return cases;
}

}  // namespace tweedie
