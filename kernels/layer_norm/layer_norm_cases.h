#pragma once

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> layer_norm_cases() {
  struct Setting {
    Shape x;
    bool affine = true, modulation = false, only_input = false;  // only_input: no gradient but grad_x
    Write write = Write::overwrite;
    double offset = 0.0;
    CaseLevel level = CaseLevel::quick;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](const Setting& setting) {
    const Shape& x = setting.x;
    const Shape per_sample{x[0], x[2]}, per_token{x[0], x[1]};
    // Absent operands keep their place with one element and are not passed on.
    const auto optional = [&](const char* name, const Shape& shape, bool present, Role role) {
      return Operand{
          .name = name, .shape = present ? shape : Shape{1}, .role = present ? role : Role::input, .scale = 0.5};
    };
    const auto pick = [](const Array& array, bool present) { return present ? array : Array{}; };
    const std::string label =
        fmt::format("{}{}{}{}{}{}", x, setting.affine ? " affine" : "", setting.modulation ? " modulated" : "",
                    setting.only_input ? " only_input" : "", setting.write == Write::accumulate ? " accumulate" : "",
                    setting.offset != 0.0 ? fmt::format(" offset={}", setting.offset) : "");
    const auto forward = [=](Stream& stream, std::span<const Array> a) {
      layer_norm_forward(stream, {.x = a[0],
                                  .gamma = pick(a[1], setting.affine),
                                  .beta = pick(a[2], setting.affine),
                                  .scale = pick(a[3], setting.modulation),
                                  .shift = pick(a[4], setting.modulation),
                                  .y = a[5],
                                  .mean = a[6],
                                  .rstd = a[7]});
    };
    std::vector<Operand> operands{{.name = "x", .shape = x, .offset = setting.offset},
                                  optional("gamma", {x[2]}, setting.affine, Role::input),
                                  optional("beta", {x[2]}, setting.affine, Role::input),
                                  optional("scale", per_sample, setting.modulation, Role::input),
                                  optional("shift", per_sample, setting.modulation, Role::input),
                                  {.name = "y", .shape = x, .role = Role::output},
                                  {.name = "mean", .shape = per_token, .role = Role::output},
                                  {.name = "rstd", .shape = per_token, .role = Role::output}};
    if (!setting.only_input && setting.write == Write::overwrite)
      cases.push_back({"layer_norm_forward", label, operands, forward, setting.level});
    if (setting.offset > 100.0) return;  // a float32 mean handed to the backward has lost these digits already

    // The backward takes statistics that fit x: the forward writes them first, except where time is measured.
    const bool timed = setting.level == CaseLevel::benchmark;
    if (timed) {
      operands[5] = {.name = "unused", .shape = {1}};
      operands[6] = {.name = "mean", .shape = per_token, .fill = Fill::zeros};
      operands[7] = {.name = "rstd", .shape = per_token, .fill = Fill::ones};
    }
    const bool accumulate = setting.write == Write::accumulate;
    const bool parameters = setting.affine && !setting.only_input;
    const bool modulation = setting.modulation && !setting.only_input;
    operands.push_back({.name = "grad_y", .shape = x});
    operands.push_back({.name = "grad_x", .shape = x, .role = accumulate ? Role::accumulated : Role::output});
    operands.push_back(optional("grad_gamma", {x[2]}, parameters, Role::accumulated));
    operands.push_back(optional("grad_beta", {x[2]}, parameters, Role::accumulated));
    operands.push_back(optional("grad_scale", per_sample, modulation, Role::output));
    operands.push_back(optional("grad_shift", per_sample, modulation, Role::output));
    cases.push_back({"layer_norm_backward", label, operands,
                     [=](Stream& stream, std::span<const Array> a) {
                       if (!timed) forward(stream, a);
                       layer_norm_backward(stream, {.x = a[0],
                                                    .gamma = pick(a[1], setting.affine),
                                                    .beta = pick(a[2], setting.affine),
                                                    .scale = pick(a[3], setting.modulation),
                                                    .shift = pick(a[4], setting.modulation),
                                                    .mean = a[6],
                                                    .rstd = a[7],
                                                    .grad_y = a[8],
                                                    .grad_x = a[9],
                                                    .grad_gamma = pick(a[10], parameters),
                                                    .grad_beta = pick(a[11], parameters),
                                                    .grad_scale = pick(a[12], modulation),
                                                    .grad_shift = pick(a[13], modulation),
                                                    .write = setting.write});
                     },
                     setting.level});
  };
  for (const bool affine : {false, true})
    for (const bool modulation : {false, true}) {
      add({.x = {1, 1, 4}, .affine = affine, .modulation = modulation});
      add({.x = {3, 5, 31}, .affine = affine, .modulation = modulation});
      add({.x = {2, 7, 33}, .affine = affine, .modulation = modulation, .write = Write::accumulate});
      add({.x = {2, 67, 64}, .affine = affine, .modulation = modulation});
      add({.x = {2, 3, 1031}, .affine = affine, .modulation = modulation, .only_input = true});
      add({.x = {2, 9, 96}, .affine = affine, .modulation = modulation, .offset = 10.0});
      add({.x = {65, 67, 129}, .affine = affine, .modulation = modulation, .level = CaseLevel::exhaustive});
    }
  add({.x = {70, 1, 32}, .modulation = true});
  // All that a warp holds, packed and by single values, and more; rows that a block does not hold.
  add({.x = {2, 3, 512}, .modulation = true, .offset = 10.0});
  add({.x = {2, 3, 127}});
  add({.x = {2, 3, 509}});
  add({.x = {1, 2, 2309}, .modulation = true, .offset = 10.0});
  for (const bool affine : {false, true}) add({.x = {1, 2, 9224}, .affine = affine, .offset = 10.0});
  add({.x = {2, 2, 6152}, .modulation = true, .offset = 10.0});
  add({.x = {2, 5, 257}, .offset = 1e4});
  add({.x = {128, 64, 384}, .affine = false, .modulation = true, .level = CaseLevel::benchmark});
  add({.x = {128, 64, 128}, .level = CaseLevel::benchmark});
  return cases;
}

}  // namespace tweedie
