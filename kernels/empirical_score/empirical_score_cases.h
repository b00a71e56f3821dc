#pragma once

#include <memory>

#include "kernels/empirical_score/empirical_score.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> empirical_score_cases() {
  std::vector<OperationCase> cases;
  const auto data_operand = [](std::int64_t rows, std::int64_t width, DType dtype) {
    const bool bytes = dtype == DType::uint8;
    return Operand{.name = "data",
                   .shape = {rows, width},
                   .fill = bytes ? Fill::indices : Fill::normal,
                   .dtype = dtype,
                   .scale = bytes ? 256.0 : 1.0};
  };
  const auto prepared = [](const char* name, std::int64_t count) {
    return Operand{.name = name, .shape = {count}, .role = Role::output, .dtype = DType::float64};
  };
  const auto prepare = [&](std::int64_t rows, const ImageExtents& image, bool mirror, DType dtype, CaseLevel level) {
    cases.push_back(
        {"prepare_empirical_data",
         fmt::format("{} n={} d={}{}", name_of(dtype), rows, image.count(), mirror ? " mirrored" : ""),
         {data_operand(rows, image.count(), dtype), prepared("centre", image.count()), prepared("squared_norms", rows)},
         [=](Stream& stream, std::span<const Array> a) {
           prepare_empirical_data(
               stream,
               {.data = a[0], .centre = a[1], .squared_norms = a[2], .mirrored = mirror ? image : ImageExtents{}});
         },
         level});
  };
  /// Points are standard normals, alpha and sigma spread around 0.75 and 0.75 sigma.
  const auto evaluate = [&](std::int64_t rows, const ImageExtents& image, std::int64_t batch, double sigma, bool mirror,
                            DType dtype, CaseLevel level) {
    const std::int64_t width = image.count(), neighbours = std::min<std::int64_t>(3, rows);
    const auto output = [](const char* name, const Shape& shape, DType type = DType::float32) {
      return Operand{.name = name, .shape = shape, .role = Role::output, .dtype = type};
    };
    const auto row = [&](const char* name, double scale) {
      return Operand{.name = name, .shape = {batch}, .fill = Fill::positive, .scale = scale};
    };
    cases.push_back(
        {"evaluate_empirical_score",
         fmt::format("{} n={} d={} b={} sigma={}{}", name_of(dtype), rows, width, batch, sigma,
                     mirror ? " mirrored" : ""),
         {data_operand(rows, width, dtype),
          prepared("centre", width),
          prepared("squared_norms", rows),
          {.name = "points", .shape = {batch, width}},
          row("alpha", 1.0),
          row("sigma", sigma),
          output("x0", {batch, width}),
          output("score", {batch, width}),
          output("neighbours", {batch, neighbours}, DType::int64),
          output("neighbour_distances", {batch, neighbours}),
          output("entropy", {batch}),
          output("effective_count", {batch}),
          output("covariance_trace", {batch}),
          output("r_star", {batch}),
          output("r_star_index", {batch}, DType::int64),
          output("log_sum", {batch})},
         [=](Stream& stream, std::span<const Array> a) {
           const ImageExtents mirrored = mirror ? image : ImageExtents{};
           evaluate_empirical_score(stream, {.data = a[0],
                                             .centre = a[1],
                                             .squared_norms = a[2],
                                             .points = a[3],
                                             .alpha = a[4],
                                             .sigma = a[5],
                                             .x0 = a[6],
                                             .score = a[7],
                                             .neighbours = a[8],
                                             .neighbour_distances = a[9],
                                             .entropy = a[10],
                                             .effective_count = a[11],
                                             .covariance_trace = a[12],
                                             .r_star = a[13],
                                             .r_star_index = a[14],
                                             .log_sum = a[15],
                                             .mirrored = mirrored});
         },
         level,
         [=](Stream& stream, std::span<const Array> a) {
           prepare_empirical_data(
               stream,
               {.data = a[0], .centre = a[1], .squared_norms = a[2], .mirrored = mirror ? image : ImageExtents{}});
         }});
  };
  for (const DType dtype : {DType::uint8, DType::float32}) {
    for (const bool mirror : {false, true}) {
      prepare(1, {1, 1, 1}, mirror, dtype, CaseLevel::quick);
      prepare(131, {5, 7, 3}, mirror, dtype, CaseLevel::quick);
      prepare(67, {33, 32, 4}, mirror, dtype, CaseLevel::quick);
      for (const double sigma : {0.2, 1.0, 100.0}) {
        evaluate(1, {1, 2, 1}, 2, sigma, mirror, dtype, CaseLevel::quick);
        evaluate(33, {3, 5, 1}, 7, sigma, mirror, dtype, CaseLevel::quick);
        evaluate(2500, {4, 4, 3}, 31, sigma, mirror, dtype, CaseLevel::quick);
      }
      for (const double sigma : {2.0, 10.0, 100.0})
        evaluate(5000, {28, 28, 1}, 16, sigma, mirror, dtype, CaseLevel::exhaustive);
    }
    prepare(60000, {28, 28, 1}, false, dtype, CaseLevel::benchmark);
  }
  // For a slow device: few data, and few points.
  evaluate(6000, {28, 28, 1}, 256, 1.0, false, DType::uint8, CaseLevel::benchmark);
  evaluate(60000, {28, 28, 1}, 32, 1.0, false, DType::uint8, CaseLevel::benchmark);
  for (const double sigma : {1e-3, 1.0, 2.0, 10.0, 100.0})
    evaluate(60000, {28, 28, 1}, 256, sigma, false, DType::uint8, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
