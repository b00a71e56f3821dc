#include "kernels/copy_slice/copy_slice.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/copy_slice/copy_slice_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// `runs` runs of `length` floats. Concatenated channels make runs of a few vectors, too short for memcpy calls.
void copy_runs(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t length,
               std::int64_t runs, bool accumulate) {
  for (std::int64_t run = 0; run < runs; ++run, from += from_stride, to += to_stride) {
    if (accumulate)
      map_vectors(length, to, [&](auto d, std::int64_t i) HWY_ATTR {
        return hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i));
      });
    else
      map_vectors(length, to, [&](auto d, std::int64_t i) HWY_ATTR { return hn::LoadU(d, from + i); });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<CopySlice> copy_slice{"copy_slice"};

namespace {

HWY_EXPORT(copy_runs);
constexpr std::int64_t grain_bytes = 65536;  // bytes worth waking a thread for

void copy_slice_cpu(Stream&, const CopySlice& arguments) {
  const Shape &from = arguments.from.shape, &to = arguments.to.shape;
  const std::int64_t inner = from[2], run = arguments.length * inner;
  if (run == 0) return;
  const auto size = static_cast<std::int64_t>(size_of(arguments.from.dtype));
  const std::int64_t from_stride = from[1] * inner, to_stride = to[1] * inner;
  const auto* source = static_cast<const char*>(arguments.from.data) + arguments.from_start * inner * size;
  auto* target = static_cast<char*>(arguments.to.data) + arguments.to_start * inner * size;
  const bool accumulate = arguments.write == Write::accumulate;
  require(!accumulate || arguments.to.dtype == DType::float32, "copy_slice: the cpu accumulates float32, got {}",
          name_of(arguments.to.dtype));
  // One long run (outer = 1) is cut into pieces, so that it too is shared by the threads.
  if (from[0] == 1 && size == 4) {
    parallel_for(run, grain_bytes / size, [&](std::int64_t first, std::int64_t last) {
      HWY_DYNAMIC_DISPATCH(copy_runs)
      (reinterpret_cast<const float*>(source) + first, 0, reinterpret_cast<float*>(target) + first, 0, last - first, 1,
       accumulate);
    });
    return;
  }
  parallel_for(
      from[0], std::max<std::int64_t>(1, grain_bytes / (run * size)), [&](std::int64_t first, std::int64_t last) {
        const char* s = source + first * from_stride * size;
        char* t = target + first * to_stride * size;
        if (size == 4)
          return HWY_DYNAMIC_DISPATCH(copy_runs)(reinterpret_cast<const float*>(s), from_stride,
                                                 reinterpret_cast<float*>(t), to_stride, run, last - first, accumulate);
        for (std::int64_t o = first; o < last; ++o, s += from_stride * size, t += to_stride * size)
          std::memcpy(t, s, static_cast<std::size_t>(run * size));
      });
}

const bool registered = copy_slice.implement(DeviceKind::cpu, &copy_slice_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
