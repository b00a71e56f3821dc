#pragma once

#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> elementwise_cases() {
  std::vector<OperationCase> cases;

  const auto add_binary = [&](BinaryKind kind, const char* name, const Shape& a, const Shape& b, CaseLevel level) {
    cases.push_back({"binary",
                     fmt::format("{} {} {}", name, a, b),
                     {{.name = "a", .shape = a},
                      {.name = "b", .shape = b, .fill = Fill::positive},
                      {.name = "out", .shape = broadcast_shape("binary", a, b), .role = Role::output}},
                     [kind](Stream& stream, std::span<const Array> x) {
                       binary(stream, {.kind = kind, .a = x[0], .b = x[1], .out = x[2]});
                     },
                     level});
  };
  struct NamedBinary {
    BinaryKind kind;
    const char* name;
  };
  for (const auto& [kind, name] :
       {NamedBinary{BinaryKind::add, "add"}, NamedBinary{BinaryKind::subtract, "subtract"},
        NamedBinary{BinaryKind::multiply, "multiply"}, NamedBinary{BinaryKind::divide, "divide"}}) {
    add_binary(kind, name, {4099}, {4099}, CaseLevel::quick);
    add_binary(kind, name, {33}, {1}, CaseLevel::quick);
    add_binary(kind, name, {}, {5, 31}, CaseLevel::quick);
    add_binary(kind, name, {7, 33}, {33}, CaseLevel::quick);
    add_binary(kind, name, {7, 33}, {7, 1}, CaseLevel::quick);
    add_binary(kind, name, {1, 32}, {9, 1}, CaseLevel::quick);
    add_binary(kind, name, {3, 5, 17}, {3, 1, 17}, CaseLevel::quick);
    add_binary(kind, name, {3, 5, 1, 17}, {5, 2, 1}, CaseLevel::quick);
    add_binary(kind, name, {2, 1, 3, 1, 2, 3}, {1, 4, 3, 5, 1, 3}, CaseLevel::quick);
    add_binary(kind, name, {1, 1}, {1, 1, 1}, CaseLevel::quick);
    add_binary(kind, name, {300, 257}, {257}, CaseLevel::exhaustive);
    add_binary(kind, name, {41, 1, 313}, {41, 67, 1}, CaseLevel::exhaustive);
  }
  add_binary(BinaryKind::add, "add", {128, 32, 32, 64}, {128, 32, 32, 64}, CaseLevel::benchmark);
  add_binary(BinaryKind::multiply, "multiply", {128, 1024, 64}, {128, 1, 64}, CaseLevel::benchmark);

  struct NamedUnary {
    UnaryKind kind;
    const char* name;
    Fill fill;
  };
  for (const auto& [kind, name, fill] :
       {NamedUnary{UnaryKind::negate, "negate", Fill::normal}, NamedUnary{UnaryKind::exp, "exp", Fill::normal},
        NamedUnary{UnaryKind::log, "log", Fill::positive}, NamedUnary{UnaryKind::sqrt, "sqrt", Fill::positive},
        NamedUnary{UnaryKind::square, "square", Fill::normal},
        NamedUnary{UnaryKind::reciprocal, "reciprocal", Fill::positive},
        NamedUnary{UnaryKind::tanh, "tanh", Fill::normal}, NamedUnary{UnaryKind::sin, "sin", Fill::normal},
        NamedUnary{UnaryKind::cos, "cos", Fill::normal}}) {
    const auto add = [&](const Shape& shape, double scale, CaseLevel level) {
      const auto run = [kind = kind](Stream& stream, std::span<const Array> a) {
        unary(stream, {.kind = kind, .x = a[0], .y = a[1]});
      };
      const Operand x{.name = "x", .shape = shape, .fill = fill, .scale = scale};
      const std::string label = fmt::format("{} {} scale={}", name, shape, scale);
      cases.push_back({"unary", label, {x, {.name = "y", .shape = shape, .role = Role::output}}, run, level});
      for (const Write write : {Write::overwrite, Write::accumulate}) {
        const bool accumulate = write == Write::accumulate;
        if (level == CaseLevel::benchmark) continue;
        // y is formed here as well, so that it is f(x) on every backend.
        cases.push_back({"unary_backward",
                         label + (accumulate ? " accumulate" : ""),
                         {x,
                          {.name = "y", .shape = shape, .role = Role::output},
                          {.name = "grad_y", .shape = shape},
                          {.name = "grad_x", .shape = shape, .role = accumulate ? Role::accumulated : Role::output}},
                         [run, write, kind = kind](Stream& stream, std::span<const Array> a) {
                           run(stream, a);
                           unary_backward(
                               stream,
                               {.kind = kind, .x = a[0], .y = a[1], .grad_y = a[2], .grad_x = a[3], .write = write});
                         },
                         level});
      }
    };
    for (const std::int64_t count : {1, 31, 32, 33, 4099}) add({count}, 1.0, CaseLevel::quick);
    add({7, 129}, 4.0, CaseLevel::quick);
    if (kind == UnaryKind::exp || kind == UnaryKind::square) add({128, 16, 16, 64}, 1.0, CaseLevel::benchmark);
  }

  struct Scales {
    double a, b, constant;
  };
  const auto add_scale_add = [&](const Shape& shape, bool with_b, const Scales& scales, CaseLevel level) {
    std::vector<Operand> operands{{.name = "a", .shape = shape}, {.name = "out", .shape = shape, .role = Role::output}};
    if (with_b) operands.push_back({.name = "b", .shape = shape});
    cases.push_back({"scale_add", fmt::format("{} b={} {} {} {}", shape, with_b, scales.a, scales.b, scales.constant),
                     operands,
                     [=](Stream& stream, std::span<const Array> x) {
                       scale_add(stream, {.a = x[0],
                                          .b = with_b ? x[2] : Array{},
                                          .out = x[1],
                                          .scale_a = scales.a,
                                          .scale_b = scales.b,
                                          .constant = scales.constant});
                     },
                     level});
  };
  for (const std::int64_t count : {1, 31, 32, 33, 4099}) {
    add_scale_add({count}, true, {1.0, 1.0, 0.0}, CaseLevel::quick);
    add_scale_add({count}, true, {0.5, -2.0, 0.25}, CaseLevel::quick);
    add_scale_add({count}, false, {-1.5, 1.0, 0.125}, CaseLevel::quick);
  }
  add_scale_add({3, 65537}, true, {0.5, -2.0, 0.25}, CaseLevel::exhaustive);
  add_scale_add({128, 32, 32, 64}, true, {1.0, 1.0, 0.0}, CaseLevel::benchmark);
  add_scale_add({128, 32, 32, 64}, false, {2.0, 1.0, -1.0}, CaseLevel::benchmark);
  // In place, as gradients accumulate: out is a.
  cases.push_back(
      {"scale_add",
       "in place (517)",
       {{.name = "a", .shape = {517}, .role = Role::accumulated}, {.name = "b", .shape = {517}}},
       [](Stream& stream, std::span<const Array> x) { scale_add(stream, {.a = x[0], .b = x[1], .out = x[0]}); }});

  const auto add_fill = [&](const Shape& shape, DType dtype, CaseLevel level) {
    cases.push_back({"fill_value",
                     fmt::format("{} {}", shape, name_of(dtype)),
                     {{.name = "out", .shape = shape, .role = Role::output, .dtype = dtype}},
                     [](Stream& stream, std::span<const Array> x) { fill_value(stream, {.out = x[0], .value = 3.0}); },
                     level});
  };
  for (const DType dtype : {DType::float32, DType::float64, DType::int64, DType::uint8}) {
    add_fill({33}, dtype, CaseLevel::quick);
    add_fill({3, 1543}, dtype, CaseLevel::quick);
  }
  add_fill({128, 32, 32, 64}, DType::float32, CaseLevel::benchmark);

  const auto add_cast = [&](const Operand& x, DType dtype, CaseLevel level) {
    cases.push_back({"cast",
                     fmt::format("{} {} to {}", x.shape, name_of(x.dtype), name_of(dtype)),
                     {x, {.name = "y", .shape = x.shape, .role = Role::output, .dtype = dtype}},
                     [](Stream& stream, std::span<const Array> a) { cast(stream, {.x = a[0], .y = a[1]}); },
                     level});
  };
  const Shape line{1543};
  const DType dtypes[] = {DType::float32, DType::float64, DType::bfloat16, DType::uint8, DType::int64};
  for (const DType dtype : dtypes) {
    for (const DType real : {DType::float32, DType::float64, DType::bfloat16})
      add_cast({.name = "x", .shape = line, .dtype = real, .scale = 100.0, .offset = 100.0}, dtype, CaseLevel::quick);
    add_cast({.name = "x", .shape = line, .fill = Fill::indices, .dtype = DType::uint8, .scale = 256.0}, dtype,
             CaseLevel::quick);
    add_cast({.name = "x", .shape = line, .fill = Fill::indices, .dtype = DType::int64, .scale = 200.0}, dtype,
             CaseLevel::quick);
  }
  add_cast({.name = "x", .shape = {128, 3072}, .fill = Fill::indices, .dtype = DType::uint8, .scale = 256.0},
           DType::float32, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
