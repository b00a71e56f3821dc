#pragma once

#include "kernels/embedding/embedding.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> embedding_cases() {
  std::vector<OperationCase> cases;
  const auto add_sinusoidal = [&](std::int64_t n, std::int64_t dim, bool cos_first, double shift, double scale,
                                  CaseLevel level) {
    cases.push_back(
        {"sinusoidal_embedding",
         fmt::format("n={} dim={}{} shift={} scale={}", n, dim, cos_first ? " cos_first" : "", shift, scale),
         {{.name = "t", .shape = {n}, .fill = Fill::positive}, {.name = "y", .shape = {n, dim}, .role = Role::output}},
         [=](Stream& stream, std::span<const Array> a) {
           embed_sinusoidal(stream,
                            {.t = a[0], .y = a[1], .cos_first = cos_first, .frequency_shift = shift, .scale = scale});
         },
         level});
  };
  add_sinusoidal(1, 2, false, 0.0, 1.0, CaseLevel::quick);
  add_sinusoidal(5, 33, false, 1.0, 1.0, CaseLevel::quick);
  add_sinusoidal(31, 64, true, 0.0, 1000.0, CaseLevel::quick);
  add_sinusoidal(7, 32, false, 1.0, 1000.0, CaseLevel::quick);
  add_sinusoidal(1283, 3, false, 0.0, 1.0, CaseLevel::quick);
  add_sinusoidal(1031, 257, true, 1.0, 1000.0, CaseLevel::exhaustive);
  add_sinusoidal(128, 64, true, 0.0, 1000.0, CaseLevel::benchmark);

  const auto add_fourier = [&](std::int64_t n, std::int64_t frequencies, bool take_log, bool cos_first,
                               CaseLevel level) {
    cases.push_back(
        {"fourier_embedding",
         fmt::format("n={} frequencies={}{}{}", n, frequencies, take_log ? " log" : "", cos_first ? " cos_first" : ""),
         {{.name = "t", .shape = {n}, .fill = Fill::positive},
          {.name = "frequencies", .shape = {frequencies}, .scale = 16.0},
          {.name = "y", .shape = {n, 2 * frequencies}, .role = Role::output}},
         [=](Stream& stream, std::span<const Array> a) {
           embed_fourier(stream,
                         {.t = a[0], .frequencies = a[1], .y = a[2], .take_log = take_log, .cos_first = cos_first});
         },
         level});
  };
  add_fourier(1, 1, false, false, CaseLevel::quick);
  add_fourier(5, 33, true, false, CaseLevel::quick);
  add_fourier(33, 16, true, true, CaseLevel::quick);
  add_fourier(7, 31, false, true, CaseLevel::quick);
  add_fourier(41, 33, false, false, CaseLevel::quick);
  add_fourier(521, 129, true, false, CaseLevel::exhaustive);
  add_fourier(128, 32, true, false, CaseLevel::benchmark);

  const auto add_lookup = [&](std::int64_t rows, std::int64_t width, std::int64_t n, CaseLevel level) {
    const std::string label = fmt::format("rows={} width={} n={}", rows, width, n);
    const Operand indices{.name = "indices",
                          .shape = {n},
                          .fill = Fill::indices,
                          .dtype = DType::int64,
                          .scale = static_cast<double>(rows)};
    cases.push_back(
        {"embedding_lookup",
         label,
         {{.name = "table", .shape = {rows, width}}, indices, {.name = "y", .shape = {n, width}, .role = Role::output}},
         [](Stream& stream, std::span<const Array> a) {
           embedding_lookup(stream, {.table = a[0], .indices = a[1], .y = a[2]});
         },
         level});
    cases.push_back({"embedding_lookup_backward",
                     label,
                     {indices,
                      {.name = "grad_y", .shape = {n, width}},
                      {.name = "grad_table", .shape = {rows, width}, .role = Role::accumulated}},
                     [](Stream& stream, std::span<const Array> a) {
                       embedding_lookup_backward(stream, {.indices = a[0], .grad_y = a[1], .grad_table = a[2]});
                     },
                     level});
  };
  add_lookup(1, 1, 1, CaseLevel::quick);
  add_lookup(3, 33, 31, CaseLevel::quick);  // most rows are hit many times
  add_lookup(101, 32, 7, CaseLevel::quick);
  add_lookup(1001, 257, 517, CaseLevel::exhaustive);
  add_lookup(11, 128, 128, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
