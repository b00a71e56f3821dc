#pragma once

#include <algorithm>

#include "kernels/copy_slice/copy_slice.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> copy_slice_cases() {
  std::vector<OperationCase> cases;
  struct Block {
    Shape from, to;
    std::int64_t from_start, to_start, length;
  };
  const auto add = [&](const Block& block, Write write, DType dtype, CaseLevel level) {
    const bool accumulate = write == Write::accumulate;
    const Fill fill = is_floating(dtype) ? Fill::normal : Fill::indices;
    const double scale = is_floating(dtype) ? 1.0 : 200.0;
    // What lies outside the block stays: `to` is read as well, so it is no plain output.
    cases.push_back(
        {"copy_slice",
         fmt::format("{} from {} at {} to {} at {} length {}{}", name_of(dtype), block.from, block.from_start, block.to,
                     block.to_start, block.length, accumulate ? " accumulate" : ""),
         {{.name = "from", .shape = block.from, .fill = fill, .dtype = dtype, .scale = scale},
          {.name = "to", .shape = block.to, .role = Role::accumulated, .fill = fill, .dtype = dtype, .scale = scale}},
         [=](Stream& stream, std::span<const Array> a) {
           copy_slice(stream, {.from = a[0],
                               .to = a[1],
                               .from_start = block.from_start,
                               .to_start = block.to_start,
                               .length = block.length,
                               .write = write});
         },
         level});
  };
  const Block blocks[] = {{{1, 1, 1}, {1, 1, 1}, 0, 0, 1},
                          {{3, 33, 1}, {3, 65, 1}, 0, 32, 33},
                          {{7, 31, 1}, {7, 12, 1}, 5, 2, 9},
                          {{5, 4, 33}, {5, 6, 33}, 1, 3, 3},
                          {{1, 4099, 1}, {1, 5003, 1}, 17, 31, 4001},
                          {{2, 3, 517}, {2, 9, 517}, 0, 6, 3},
                          {{4, 1440, 4}, {4, 2000, 4}, 96, 32, 1344},  // whole packs
                          {{4, 5, 6}, {4, 5, 6}, 2, 2, 0}};
  for (const Block& block : blocks) {
    add(block, Write::overwrite, DType::float32, CaseLevel::quick);
    add(block, Write::accumulate, DType::float32, CaseLevel::quick);
    add(block, Write::overwrite, DType::uint8, CaseLevel::quick);
    add(block, Write::overwrite, DType::int64, CaseLevel::quick);
  }
  add({{130, 257, 3}, {130, 513, 3}, 1, 255, 256}, Write::accumulate, DType::float32, CaseLevel::exhaustive);
  // The halves of a skip connection: concatenated forward, taken apart backward.
  add({{128 * 1024, 64, 1}, {128 * 1024, 128, 1}, 0, 64, 64}, Write::overwrite, DType::float32, CaseLevel::benchmark);
  add({{128 * 1024, 96, 1}, {128 * 1024, 64, 1}, 32, 0, 64}, Write::overwrite, DType::float32, CaseLevel::benchmark);
  add({{128 * 256, 192, 1}, {128 * 256, 64, 1}, 128, 0, 64}, Write::accumulate, DType::float32, CaseLevel::benchmark);

  struct Order {
    Shape x;
    std::vector<int> axes;
  };
  const auto add_permute = [&](const Order& order, DType dtype, CaseLevel level) {
    Shape y;
    std::string axes;
    for (const int axis : order.axes) {
      y.append(order.x[axis]);
      axes += std::to_string(axis);
    }
    cases.push_back({"permute",
                     fmt::format("{} {} axes {}", name_of(dtype), order.x, axes),
                     {{.name = "x",
                       .shape = order.x,
                       .fill = is_floating(dtype) ? Fill::normal : Fill::indices,
                       .dtype = dtype,
                       .scale = is_floating(dtype) ? 1.0 : 200.0},
                      {.name = "y", .shape = y, .role = Role::output, .dtype = dtype}},
                     [order](Stream& stream, std::span<const Array> a) {
                       Permute arguments{.x = a[0], .y = a[1]};
                       std::copy(order.axes.begin(), order.axes.end(), arguments.axes);
                       permute_axes(stream, arguments);
                     },
                     level});
  };
  const Order orders[] = {{{33}, {0}},
                          {{31, 33}, {1, 0}},
                          {{31, 33}, {0, 1}},
                          {{1, 17, 1, 5}, {3, 2, 1, 0}},
                          {{2, 3, 7, 5}, {0, 2, 3, 1}},
                          {{2, 7, 5, 3}, {0, 3, 1, 2}},
                          {{13, 11, 7, 4}, {2, 1, 0, 3}},
                          {{2, 3, 4, 5, 6}, {4, 2, 0, 1, 3}},
                          {{2, 3, 2, 3, 2, 5}, {5, 0, 4, 1, 3, 2}},
                          {{4099, 2}, {1, 0}}};
  for (const Order& order : orders) {
    add_permute(order, DType::float32, CaseLevel::quick);
    add_permute(order, DType::uint8, CaseLevel::quick);
    add_permute(order, DType::int64, CaseLevel::quick);
  }
  add_permute({{5, 67, 129, 3}, {3, 0, 2, 1}}, DType::float32, CaseLevel::exhaustive);
  add_permute({{128, 64, 32, 32}, {0, 2, 3, 1}}, DType::float32, CaseLevel::benchmark);  // NCHW to NHWC
  add_permute({{128, 32, 32, 64}, {0, 3, 1, 2}}, DType::float32, CaseLevel::benchmark);
  add_permute({{128, 64, 4, 32}, {0, 2, 1, 3}}, DType::float32, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
