#pragma once

#include "kernels/noising/noising.h"
#include "kernels/runtime/operation_case.h"

namespace tweedie {

inline std::vector<OperationCase> noising_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](std::int64_t images, std::int64_t width, std::int64_t samples, DType dtype, bool target,
                       bool kept, CaseLevel level) {
    const bool bytes = dtype == DType::uint8;
    const Shape out{samples, width};
    const auto output = [&](const char* name, bool present) {
      return Operand{.name = name, .shape = present ? out : Shape{1}, .role = present ? Role::output : Role::input};
    };
    const auto integers = [&](const char* name, double bound) {
      return Operand{.name = name, .shape = {samples}, .fill = Fill::indices, .dtype = DType::int64, .scale = bound};
    };
    cases.push_back({"noise_images",
                     fmt::format("{} images={} d={} n={}{}{}", name_of(dtype), images, width, samples,
                                 target ? " target" : "", kept ? " clean noise" : ""),
                     {{.name = "images",
                       .shape = {images, width},
                       .fill = bytes ? Fill::indices : Fill::normal,
                       .dtype = dtype,
                       .scale = bytes ? 256.0 : 1.0},
                      integers("indices", static_cast<double>(images)),
                      integers("samples", 1e6),
                      {.name = "alpha", .shape = {samples}, .fill = Fill::positive},
                      {.name = "sigma", .shape = {samples}, .fill = Fill::positive},
                      {.name = "target_clean", .shape = {samples}},
                      {.name = "target_noise", .shape = {samples}},
                      output("z", true),
                      output("target", target),
                      output("clean", kept),
                      output("noise", kept)},
                     [=](Stream& stream, std::span<const Array> a) {
                       noise_images(stream, {.images = a[0],
                                             .indices = a[1],
                                             .samples = a[2],
                                             .alpha = a[3],
                                             .sigma = a[4],
                                             .target_clean = target ? a[5] : Array{},
                                             .target_noise = target ? a[6] : Array{},
                                             .z = a[7],
                                             .target = target ? a[8] : Array{},
                                             .clean = kept ? a[9] : Array{},
                                             .noise = kept ? a[10] : Array{},
                                             .key = {.seed = 42, .purpose = Purpose::noise, .step = 3}});
                     },
                     level});
  };
  for (const DType dtype : {DType::uint8, DType::float32}) {
    add(1, 1, 1, dtype, false, false, CaseLevel::quick);
    add(7, 33, 5, dtype, true, false, CaseLevel::quick);
    add(7, 31, 5, dtype, false, true, CaseLevel::quick);
    add(3, 4099, 4, dtype, true, true, CaseLevel::quick);
    add(10, 2, 131, dtype, true, true, CaseLevel::quick);
    add(20, 3072, 131, dtype, true, true, CaseLevel::exhaustive);
    add(1000, 1024, 128, dtype, true, false, CaseLevel::benchmark);
  }
  add(1000, 3072, 128, DType::uint8, true, false, CaseLevel::benchmark);
  return cases;
}

}  // namespace tweedie
