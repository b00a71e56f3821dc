#pragma once

#include "kernels/group_norm/group_norm.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> group_norm_cases() {
  struct Setting {
    Shape x;
    std::int64_t groups;
    bool silu = false, input_shift = false, modulation = false, parameter_gradients = true;
    Write write = Write::overwrite;
    double offset = 0.0;
    CaseLevel level = CaseLevel::quick;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](const Setting& setting) {
    const Shape& x = setting.x;
    const Shape per_sample{x[0], x[2]}, per_group{x[0], setting.groups};
    // Absent operands keep their place with one element and are not passed on.
    const auto optional = [&](const char* name, bool present, Role role) {
      return Operand{
          .name = name, .shape = present ? per_sample : Shape{1}, .role = present ? role : Role::input, .scale = 0.5};
    };
    const auto pick = [](const Array& array, bool present) { return present ? array : Array{}; };
    const std::string label =
        fmt::format("{} groups={}{}{}{}{}{}{}", x, setting.groups, setting.silu ? " silu" : "",
                    setting.input_shift ? " input_shift" : "", setting.modulation ? " modulated" : "",
                    setting.parameter_gradients ? "" : " no_parameter_gradients",
                    setting.write == Write::accumulate ? " accumulate" : "",
                    setting.offset != 0.0 ? fmt::format(" offset={}", setting.offset) : "");
    const auto forward = [=](Stream& stream, std::span<const Array> a) {
      group_norm_forward(stream, {.x = a[0],
                                  .input_shift = pick(a[1], setting.input_shift),
                                  .gamma = a[2],
                                  .beta = a[3],
                                  .scale = pick(a[4], setting.modulation),
                                  .shift = pick(a[5], setting.modulation),
                                  .y = a[6],
                                  .mean = a[7],
                                  .rstd = a[8],
                                  .groups = setting.groups,
                                  .silu = setting.silu});
    };
    std::vector<Operand> operands{{.name = "x", .shape = x, .offset = setting.offset},
                                  optional("input_shift", setting.input_shift, Role::input),
                                  {.name = "gamma", .shape = {x[2]}},
                                  {.name = "beta", .shape = {x[2]}},
                                  optional("scale", setting.modulation, Role::input),
                                  optional("shift", setting.modulation, Role::input),
                                  {.name = "y", .shape = x, .role = Role::output},
                                  {.name = "mean", .shape = per_group, .role = Role::output},
                                  {.name = "rstd", .shape = per_group, .role = Role::output}};
    if (setting.parameter_gradients && setting.write == Write::overwrite)
      cases.push_back({"group_norm_forward", label, operands, forward, setting.level});

    // The backward takes statistics that fit x: the forward writes them first, except where time is measured.
    const bool timed = setting.level == CaseLevel::benchmark;
    if (timed) {
      operands[7] = {.name = "mean", .shape = per_group, .fill = Fill::zeros};
      operands[8] = {.name = "rstd", .shape = per_group, .fill = Fill::ones};
      operands[6] = {.name = "unused", .shape = {1}};
    }
    const bool accumulate = setting.write == Write::accumulate, parameters = setting.parameter_gradients;
    operands.push_back({.name = "grad_y", .shape = x});
    operands.push_back({.name = "grad_x", .shape = x, .role = accumulate ? Role::accumulated : Role::output});
    operands.push_back(optional("grad_input_shift", setting.input_shift, Role::output));
    for (const char* name : {"grad_gamma", "grad_beta"})
      operands.push_back({.name = name, .shape = {x[2]}, .role = parameters ? Role::accumulated : Role::input});
    operands.push_back(optional("grad_scale", setting.modulation, Role::output));
    operands.push_back(optional("grad_shift", setting.modulation, Role::output));
    cases.push_back({"group_norm_backward", label, operands,
                     [=](Stream& stream, std::span<const Array> a) {
                       if (!timed) forward(stream, a);
                       group_norm_backward(stream, {.x = a[0],
                                                    .input_shift = pick(a[1], setting.input_shift),
                                                    .gamma = a[2],
                                                    .beta = a[3],
                                                    .scale = pick(a[4], setting.modulation),
                                                    .shift = pick(a[5], setting.modulation),
                                                    .mean = a[7],
                                                    .rstd = a[8],
                                                    .grad_y = a[9],
                                                    .grad_x = a[10],
                                                    .grad_input_shift = pick(a[11], setting.input_shift),
                                                    .grad_gamma = pick(a[12], parameters),
                                                    .grad_beta = pick(a[13], parameters),
                                                    .grad_scale = pick(a[14], setting.modulation),
                                                    .grad_shift = pick(a[15], setting.modulation),
                                                    .groups = setting.groups,
                                                    .silu = setting.silu,
                                                    .write = setting.write});
                     },
                     setting.level});
  };
  for (const bool silu : {false, true}) {
    add({.x = {1, 1, 4}, .groups = 1, .silu = silu});
    add({.x = {1, 5, 1}, .groups = 1, .silu = silu});
    add({.x = {2, 35, 33}, .groups = 3, .silu = silu});
    add({.x = {2, 35, 33}, .groups = 1, .silu = silu, .input_shift = true});
    add({.x = {3, 17, 31}, .groups = 31, .silu = silu, .modulation = true});  // groups = channels
    add({.x = {2, 64, 32}, .groups = 8, .silu = silu, .input_shift = true, .modulation = true});
    add({.x = {2, 64, 32}, .groups = 8, .silu = silu, .modulation = true, .write = Write::accumulate});
    add({.x = {1, 4099, 6}, .groups = 2, .silu = silu, .parameter_gradients = false});
    add({.x = {5, 67, 48}, .groups = 4, .silu = silu, .write = Write::accumulate});
    add({.x = {2, 131, 40}, .groups = 5, .silu = silu, .input_shift = true, .offset = 10.0});
    add({.x = {3, 300, 257}, .groups = 1, .silu = silu, .input_shift = true, .level = CaseLevel::exhaustive});
    add({.x = {17, 1024, 64},
         .groups = 16,
         .silu = silu,
         .input_shift = true,
         .modulation = true,
         .write = Write::accumulate,
         .level = CaseLevel::exhaustive});
  }
  for (const std::int64_t channels : {32, 64, 128})
    for (const std::int64_t side : {32, 16, 8})
      for (const bool silu : {true, false}) {
        if (!silu && (channels != 64 || side != 32)) continue;
        add({.x = {128, side * side, channels},
             .groups = channels / 4 < 32 ? channels / 4 : 32,
             .silu = silu,
             .level = CaseLevel::benchmark});
      }
  add({.x = {128, 1024, 64}, .groups = 16, .silu = true, .input_shift = true, .level = CaseLevel::benchmark});

  // A mean ten thousand deviations away: the forward alone, since a float32 mean handed to the backward has lost these
  // digits already.
  cases.push_back({"group_norm_forward",
                   "large offset (2, 260, 36) groups=4",
                   {{.name = "x", .shape = {2, 260, 36}, .offset = 1e4},
                    {.name = "gamma", .shape = {36}},
                    {.name = "beta", .shape = {36}},
                    {.name = "y", .shape = {2, 260, 36}, .role = Role::output},
                    {.name = "mean", .shape = {2, 4}, .role = Role::output},
                    {.name = "rstd", .shape = {2, 4}, .role = Role::output}},
                   [](Stream& stream, std::span<const Array> a) {
                     group_norm_forward(
                         stream,
                         {.x = a[0], .gamma = a[1], .beta = a[2], .y = a[3], .mean = a[4], .rstd = a[5], .groups = 4});
                   }});
  return cases;
}

}  // namespace tweedie
