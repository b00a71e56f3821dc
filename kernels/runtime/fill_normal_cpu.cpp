#include "kernels/runtime/random.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/runtime/fill_normal_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/normal-inl.h"
#include "kernels/runtime/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

void fill_row(const RandomKey& key, std::uint32_t sample, std::int64_t count, float* out) {
  fill_normals(key, sample, 0, count, out);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<FillNormal> fill_normal{"fill_normal"};

namespace {

HWY_EXPORT(fill_row);

void fill_normal_cpu(Stream&, const FillNormal& arguments) {
  const std::int64_t width = arguments.out.shape[1];
  float* out = arguments.out.as<float>();
  const std::int64_t* samples = arguments.samples ? arguments.samples.as<std::int64_t>() : nullptr;
  parallel_for(arguments.out.shape[0], std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, width)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t n = first; n < last; ++n) {
                   const std::int64_t sample = samples != nullptr ? samples[n] : arguments.first_sample + n;
                   HWY_DYNAMIC_DISPATCH(fill_row)
                   (arguments.key, static_cast<std::uint32_t>(sample), width, out + n * width);
                 }
               });
}

const bool registered = fill_normal.implement(DeviceKind::cpu, &fill_normal_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
