#pragma once

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

struct AttentionCase {
  std::int64_t n = 1, queries = 1, keys = 1, heads = 1, channels = 1;
  double magnitude = 1.0;  // of q: large scores make the softmax sharp
  CaseLevel level = CaseLevel::quick;

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(channels)); }
  std::string label() const {
    return fmt::format("n={} t={} s={} heads={} d={}{}", n, queries, keys, heads, channels,
                       magnitude != 1.0 ? fmt::format(" q*{}", magnitude) : "");
  }
};

inline OperationCase attention_forward_case(const AttentionCase& c) {
  const Shape q{c.n, c.queries, c.heads, c.channels}, k{c.n, c.keys, c.heads, c.channels};
  OperationCase out{.operation = std::string(attention_forward.name()), .label = c.label(), .level = c.level};
  out.operands = {{.name = "q", .shape = q, .scale = c.magnitude},
                  {.name = "k", .shape = k},
                  {.name = "v", .shape = k},
                  {.name = "out", .shape = q, .role = Role::output},
                  {.name = "log_sum_exp", .shape = Shape({c.n, c.heads, c.queries}), .role = Role::output}};
  out.run = [scale = c.scale()](Stream& stream, std::span<const Array> arrays) {
    attention_forward(
        stream,
        {.q = arrays[0], .k = arrays[1], .v = arrays[2], .out = arrays[3], .log_sum_exp = arrays[4], .scale = scale});
  };
  return out;
}

/// The backward reads what the forward wrote, so the case runs both; where it is timed, the backward alone, on any
/// numbers.
inline OperationCase attention_backward_case(const AttentionCase& c) {
  const Shape q{c.n, c.queries, c.heads, c.channels}, k{c.n, c.keys, c.heads, c.channels};
  const bool timed = c.level == CaseLevel::benchmark;
  const Role from_forward = timed ? Role::input : Role::output;
  OperationCase out{.operation = std::string(attention_backward.name()), .label = c.label(), .level = c.level};
  out.operands = {{.name = "q", .shape = q, .scale = c.magnitude},
                  {.name = "k", .shape = k},
                  {.name = "v", .shape = k},
                  {.name = "out", .shape = q, .role = from_forward},
                  {.name = "log_sum_exp",
                   .shape = Shape({c.n, c.heads, c.queries}),
                   .role = from_forward,
                   .scale = 0.1,
                   .offset = std::log(static_cast<double>(c.keys)) + 0.5},
                  {.name = "grad_out", .shape = q},
                  {.name = "grad_q", .shape = q, .role = Role::output},
                  {.name = "grad_k", .shape = k, .role = Role::output},
                  {.name = "grad_v", .shape = k, .role = Role::output}};
  out.run = [scale = c.scale(), timed](Stream& stream, std::span<const Array> arrays) {
    if (!timed)
      attention_forward(
          stream,
          {.q = arrays[0], .k = arrays[1], .v = arrays[2], .out = arrays[3], .log_sum_exp = arrays[4], .scale = scale});
    attention_backward(stream, {.q = arrays[0],
                                .k = arrays[1],
                                .v = arrays[2],
                                .out = arrays[3],
                                .log_sum_exp = arrays[4],
                                .grad_out = arrays[5],
                                .grad_q = arrays[6],
                                .grad_k = arrays[7],
                                .grad_v = arrays[8],
                                .scale = scale});
  };
  return out;
}

inline std::vector<OperationCase> attention_cases() {
  const CaseLevel slow = CaseLevel::exhaustive, bench = CaseLevel::benchmark;
  const std::vector<AttentionCase> list = {
      {.queries = 1, .keys = 2, .channels = 3},
      {.n = 2, .queries = 3, .keys = 1, .heads = 2, .channels = 5},  // one key: out is v
      {.n = 2, .queries = 16, .keys = 16, .heads = 4, .channels = 8},
      {.n = 1, .queries = 31, .keys = 33, .heads = 3, .channels = 7},
      {.n = 2, .queries = 64, .keys = 64, .heads = 2, .channels = 16},
      {.n = 1, .queries = 33, .keys = 127, .heads = 1, .channels = 33},
      {.n = 1, .queries = 67, .keys = 129, .heads = 2, .channels = 8},  // one key more than a tile
      {.n = 1, .queries = 5, .keys = 300, .heads = 1, .channels = 64},
      {.n = 1, .queries = 300, .keys = 5, .heads = 2, .channels = 1},
      {.n = 1, .queries = 19, .keys = 40, .heads = 2, .channels = 64},
      {.n = 1, .queries = 20, .keys = 67, .heads = 1, .channels = 264},  // more channels than a block takes
      {.n = 1, .queries = 40, .keys = 260, .heads = 1, .channels = 16, .magnitude = 8.0},  // sharp across tiles
      {.n = 3, .queries = 64, .keys = 64, .heads = 8, .channels = 8, .level = slow},
      {.n = 2, .queries = 256, .keys = 256, .heads = 2, .channels = 32, .level = slow},
      {.n = 1, .queries = 257, .keys = 511, .heads = 3, .channels = 65, .level = slow},
      {.n = 1, .queries = 1024, .keys = 1024, .heads = 1, .channels = 64, .level = slow},
      // unet-s at batch 128 (one and eight heads at 8 x 8), a transformer, and a long sequence.
      {.n = 128, .queries = 64, .keys = 64, .heads = 8, .channels = 8, .level = bench},
      {.n = 128, .queries = 64, .keys = 64, .heads = 1, .channels = 64, .level = bench},
      {.n = 32, .queries = 256, .keys = 256, .heads = 6, .channels = 64, .level = bench},
      {.n = 2, .queries = 1024, .keys = 1024, .heads = 4, .channels = 64, .level = bench},
  };
  std::vector<OperationCase> cases;
  for (const AttentionCase& c : list) {
    cases.push_back(attention_forward_case(c));
    if (c.keys > 1) cases.push_back(attention_backward_case(c));  // the gradient of a softmax over one key is zero
  }
  return cases;
}

}  // namespace tweedie
