#pragma once

#include <fmt/format.h>

#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

struct Conv2dCase {
  std::int64_t n = 1, h = 1, w = 1, in = 1, out = 1, kernel_h = 3, kernel_w = 3;
  Conv2dGeometry geometry;
  Fill fill = Fill::normal;
  CaseLevel level = CaseLevel::quick;

  Shape x() const { return {n, h, w, in}; }
  Shape weight() const { return {out, kernel_h, kernel_w, in}; }
  Shape y() const {
    return {n, conv2d_output_extent(h, kernel_h, geometry.stride, geometry.pad_top, geometry.pad_bottom),
            conv2d_output_extent(w, kernel_w, geometry.stride, geometry.pad_left, geometry.pad_right), out};
  }
  std::string label() const {
    const auto& [stride, top, left, bottom, right] = geometry;
    return fmt::format("n={} hw={}x{} c={}to{} k={}x{} s={} p={}{}{}{}{}", n, h, w, in, out, kernel_h, kernel_w, stride,
                       top, left, bottom, right, fill == Fill::small_integers ? " int" : "");
  }
};

/// How a forward case treats the residual: absent, its own array, or y itself.
enum class Residual : std::uint8_t { none, separate, in_place };

inline OperationCase forward_case(const Conv2dCase& c, bool bias, Residual residual,
                                  std::optional<ActivationKind> activation = {}) {
  OperationCase out{.operation = std::string(conv2d_forward.name()), .label = c.label(), .level = c.level};
  if (bias) out.label += " bias";
  if (residual != Residual::none) out.label += residual == Residual::separate ? " residual" : " in-place";
  if (activation) out.label += fmt::format(" {}", name_of(*activation));
  const Role y_role = residual == Residual::in_place ? Role::accumulated : Role::output;
  out.operands = {{.name = "x", .shape = c.x(), .fill = c.fill},
                  {.name = "weight", .shape = c.weight(), .fill = c.fill},
                  {.name = "y", .shape = c.y(), .role = y_role, .fill = c.fill},
                  {.name = "bias", .shape = Shape({c.out}), .fill = c.fill}};
  if (residual == Residual::separate) out.operands.push_back({.name = "residual", .shape = c.y(), .fill = c.fill});
  out.run = [geometry = c.geometry, bias, residual, activation](Stream& stream, std::span<const Array> arrays) {
    const Array added = residual == Residual::none ? Array{} : arrays[residual == Residual::separate ? 4 : 2];
    conv2d_forward(stream, {.x = arrays[0],
                            .weight = arrays[1],
                            .bias = bias ? arrays[3] : Array{},
                            .residual = added,
                            .y = arrays[2],
                            .geometry = geometry,
                            .activation = activation});
  };
  return out;
}

inline OperationCase data_gradient_case(const Conv2dCase& c, Write write) {
  const bool accumulate = write == Write::accumulate;
  OperationCase out{.operation = std::string(conv2d_data_gradient.name()),
                    .label = c.label() + (accumulate ? " add" : ""),
                    .level = c.level};
  out.operands = {
      {.name = "grad_y", .shape = c.y(), .fill = c.fill},
      {.name = "weight", .shape = c.weight(), .fill = c.fill},
      {.name = "grad_x", .shape = c.x(), .role = accumulate ? Role::accumulated : Role::output, .fill = c.fill}};
  out.run = [geometry = c.geometry, write](Stream& stream, std::span<const Array> arrays) {
    conv2d_data_gradient(
        stream, {.grad_y = arrays[0], .weight = arrays[1], .grad_x = arrays[2], .geometry = geometry, .write = write});
  };
  return out;
}

inline OperationCase filter_gradient_case(const Conv2dCase& c, bool bias, Write write) {
  const bool accumulate = write == Write::accumulate;
  const Role role = accumulate ? Role::accumulated : Role::output;
  OperationCase out{.operation = std::string(conv2d_filter_gradient.name()),
                    .label = c.label() + (bias ? " bias" : "") + (accumulate ? " add" : ""),
                    .level = c.level};
  out.operands = {{.name = "x", .shape = c.x(), .fill = c.fill},
                  {.name = "grad_y", .shape = c.y(), .fill = c.fill},
                  {.name = "grad_weight", .shape = c.weight(), .role = role, .fill = c.fill}};
  if (bias) out.operands.push_back({.name = "grad_bias", .shape = Shape({c.out}), .role = role, .fill = c.fill});
  out.run = [geometry = c.geometry, bias, write](Stream& stream, std::span<const Array> arrays) {
    conv2d_filter_gradient(stream, {.x = arrays[0],
                                    .grad_y = arrays[1],
                                    .grad_weight = arrays[2],
                                    .grad_bias = bias ? arrays[3] : Array{},
                                    .geometry = geometry,
                                    .write = write});
  };
  return out;
}

/// The convolutions of unet-s at batch 128 and 32 x 32: in and out of one channel, 3 x 3 and 1 x 1 at each level.
inline std::vector<Conv2dCase> unet_convolutions() {
  const auto layer = [](std::int64_t extent, std::int64_t in, std::int64_t out, std::int64_t kernel, int stride = 1) {
    const int pad = static_cast<int>(kernel / 2);
    return Conv2dCase{.n = 128,
                      .h = extent,
                      .w = extent,
                      .in = in,
                      .out = out,
                      .kernel_h = kernel,
                      .kernel_w = kernel,
                      .geometry = {stride, pad, pad, pad, pad},
                      .level = CaseLevel::benchmark};
  };
  return {layer(32, 1, 32, 3),  layer(32, 32, 32, 3), layer(32, 32, 32, 3, 2), layer(16, 32, 64, 3),
          layer(16, 32, 64, 1), layer(16, 64, 64, 3), layer(16, 64, 64, 3, 2), layer(8, 64, 64, 3),
          layer(8, 128, 64, 3), layer(8, 128, 64, 1), layer(16, 128, 64, 3),   layer(16, 128, 64, 1),
          layer(16, 96, 64, 3), layer(16, 96, 64, 1), layer(32, 64, 64, 3),    layer(32, 96, 32, 3),
          layer(32, 96, 32, 1), layer(32, 64, 32, 3), layer(32, 64, 32, 1),    layer(32, 32, 1, 3)};
}

inline std::vector<Conv2dCase> awkward_convolutions() {
  const Conv2dGeometry same{1, 1, 1, 1, 1}, none{1, 0, 0, 0, 0}, halve{2, 1, 1, 1, 1};
  std::vector<Conv2dCase> list = {
      {.n = 1, .h = 1, .w = 1, .in = 1, .out = 1, .geometry = same},    // the kernel sees padding but for its centre
      {.n = 2, .h = 5, .w = 7, .in = 3, .out = 5, .geometry = same},    // odd everything
      {.n = 1, .h = 9, .w = 4, .in = 31, .out = 33, .geometry = same},  // around a vector
      {.n = 3, .h = 8, .w = 8, .in = 32, .out = 64, .geometry = same},
      {.n = 2, .h = 32, .w = 32, .in = 1, .out = 32, .geometry = same},  // from one channel
      {.n = 2, .h = 31, .w = 33, .in = 1, .out = 17, .geometry = same},
      {.n = 2, .h = 32, .w = 32, .in = 32, .out = 1, .geometry = same},  // to one channel
      {.n = 2, .h = 13, .w = 11, .in = 37, .out = 1, .geometry = same},
      {.n = 2, .h = 9, .w = 10, .in = 3, .out = 16, .geometry = same},  // colour
      {.n = 2, .h = 9, .w = 10, .in = 16, .out = 3, .geometry = same},
      {.n = 1, .h = 2, .w = 2, .in = 171, .out = 1021, .geometry = same},  // a filter gradient of many large tiles
      {.n = 2, .h = 16, .w = 16, .in = 32, .out = 32, .geometry = halve},
      {.n = 2, .h = 7, .w = 9, .in = 5, .out = 3, .geometry = halve},              // odd extents under stride 2
      {.n = 2, .h = 8, .w = 8, .in = 16, .out = 16, .geometry = {2, 0, 0, 1, 1}},  // diffusers' down-sampling
      {.n = 1, .h = 6, .w = 6, .in = 4, .out = 8, .geometry = {2, 0, 0, 0, 0}},    // a last row that no stride reaches
      {.n = 2, .h = 10, .w = 9, .in = 16, .out = 8, .geometry = none},             // no padding
      {.n = 1, .h = 6, .w = 5, .in = 7, .out = 4, .geometry = {1, 2, 0, 1, 3}},    // four different paddings
      {.n = 1, .h = 4, .w = 4, .in = 3, .out = 3, .geometry = {1, 4, 3, 3, 4}},    // padding past the kernel
      {.n = 2, .h = 6, .w = 7, .in = 33, .out = 31, .kernel_h = 1, .kernel_w = 1, .geometry = none},
      {.n = 1, .h = 16, .w = 16, .in = 96, .out = 32, .kernel_h = 1, .kernel_w = 1, .geometry = none},
      {.n = 2, .h = 6, .w = 5, .in = 17, .out = 1, .kernel_h = 1, .kernel_w = 1, .geometry = none},
      {.n = 2, .h = 9, .w = 7, .in = 8, .out = 24, .kernel_h = 1, .kernel_w = 1, .geometry = {2, 0, 0, 0, 0}},
      {.n = 1, .h = 5, .w = 5, .in = 4, .out = 4, .kernel_h = 1, .kernel_w = 1, .geometry = same},  // padded 1 x 1
      {.n = 1, .h = 9, .w = 11, .in = 3, .out = 7, .kernel_h = 5, .kernel_w = 3, .geometry = {1, 2, 1, 2, 1}},
      {.n = 1,
       .h = 8,
       .w = 8,
       .in = 3,
       .out = 12,
       .kernel_h = 4,
       .kernel_w = 4,
       .geometry = {4, 0, 0, 0, 0}},  // patches
      {.n = 1, .h = 11, .w = 13, .in = 2, .out = 5, .geometry = {3, 1, 1, 1, 1}},
      {.n = 3, .h = 66, .w = 63, .in = 71, .out = 69, .kernel_h = 1, .kernel_w = 1, .geometry = none},  // large tiles
  };
  return list;
}

inline std::vector<OperationCase> conv2d_cases() {
  std::vector<OperationCase> cases;
  const auto add_all = [&cases](const Conv2dCase& c, bool bias, Residual residual, Write write) {
    cases.push_back(forward_case(c, bias, residual));
    cases.push_back(data_gradient_case(c, write));
    cases.push_back(filter_gradient_case(c, bias, write));
  };
  bool odd = false;
  for (Conv2dCase c : awkward_convolutions()) {
    // The options alternate over the shapes in one pass and are turned round in the exact one.
    const auto write_of = [](bool accumulate) { return accumulate ? Write::accumulate : Write::overwrite; };
    add_all(c, odd, odd ? Residual::separate : Residual::none, write_of(odd));
    c.fill = Fill::small_integers;
    add_all(c, !odd, odd ? Residual::none : Residual::in_place, write_of(!odd));
    c.level = CaseLevel::exhaustive;
    c.n += 4;
    add_all(c, true, Residual::separate, Write::accumulate);
    c.fill = Fill::normal;
    add_all(c, true, Residual::in_place, Write::overwrite);
    odd = !odd;
  }
  const Conv2dCase square{.n = 2, .h = 6, .w = 7, .in = 16, .out = 24, .geometry = {1, 1, 1, 1, 1}};
  cases.push_back(forward_case(square, true, Residual::separate, ActivationKind::silu));
  Conv2dCase odd_square = square;
  odd_square.out = 3;  // to few channels
  cases.push_back(forward_case(odd_square, true, Residual::none, ActivationKind::gelu_tanh));
  odd_square.fill = Fill::small_integers, odd_square.in = 17, odd_square.out = 31;
  cases.push_back(forward_case(odd_square, true, Residual::in_place, ActivationKind::relu));
  Conv2dCase from_two{.n = 2, .h = 31, .w = 33, .in = 2, .geometry = {1, 1, 1, 1, 1}};
  for (from_two.out = 16; from_two.out <= 17; ++from_two.out)
    cases.push_back(forward_case(from_two, true, Residual::none));
  const Conv2dCase to_many{.n = 1, .h = 2, .w = 2, .in = 3, .out = 1285, .geometry = {1, 1, 1, 1, 1}};
  cases.push_back(filter_gradient_case(to_many, true, Write::overwrite));
  for (Conv2dCase c : unet_convolutions()) {
    add_all(c, true, c.in == c.out && c.kernel_h == 3 ? Residual::separate : Residual::none, Write::accumulate);
    c.level = CaseLevel::exhaustive;  // the same layers at a batch that the reference can follow
    c.n = 3;
    add_all(c, true, Residual::none, Write::overwrite);
  }
  return cases;
}

}  // namespace tweedie
