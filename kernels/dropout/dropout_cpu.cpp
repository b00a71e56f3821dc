#include "kernels/dropout/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout/dropout_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/runtime/normal-inl.h"
#include "kernels/runtime/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// Keeps the elements whose word is at least `threshold`.
void dropout_row(const RandomKey& key, std::uint32_t sample, const float* x, std::int64_t count,
                 std::uint64_t threshold, float scale, bool accumulate, float* y) {
  constexpr std::int64_t piece = 1024;
  HWY_ALIGN std::uint32_t words[piece];
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::int64_t length = std::min(piece, count - first);
    fill_words(key, sample, first, length, words);
    for (std::int64_t i = 0; i < length; ++i) {
      const float kept = words[i] >= threshold ? x[first + i] * scale : 0.0f;
      y[first + i] = accumulate ? y[first + i] + kept : kept;
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<Dropout> apply_dropout{"dropout"};

namespace {

HWY_EXPORT(dropout_row);

void dropout_cpu(Stream&, const Dropout& arguments) {
  const std::int64_t width = arguments.x.shape[1];
  const float* x = arguments.x.as<float>();
  float* y = arguments.y.as<float>();
  // (word + 0.5) 2^-32 >= probability, as a bound on the word.
  const auto threshold = static_cast<std::uint64_t>(std::max(0.0, std::ceil(arguments.probability * 0x1p32 - 0.5)));
  const auto scale = static_cast<float>(1.0 / (1.0 - arguments.probability));
  parallel_for(arguments.x.shape[0], std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, width)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t n = first; n < last; ++n) HWY_DYNAMIC_DISPATCH(dropout_row)
                 (arguments.key, static_cast<std::uint32_t>(arguments.samples.as<std::int64_t>()[n]), x + n * width,
                  width, threshold, scale, arguments.write == Write::accumulate, y + n * width);
               });
}

const bool registered = apply_dropout.implement(DeviceKind::cpu, &dropout_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
