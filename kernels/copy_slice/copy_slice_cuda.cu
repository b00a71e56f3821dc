#include "kernels/copy_slice/copy_slice.h"
#include "kernels/runtime/values.cuh"

namespace tweedie {
namespace {

/// outer runs of `run` units, from_stride and to_stride units apart.
struct Runs {
  std::int64_t outer, run, from_stride, to_stride;
};

/// A unit is an element, or 16 bytes where everything is aligned to that.
template <class Unit>
__global__ void copy_runs_kernel(Runs runs, const Unit* from, Unit* to) {
  for (std::int64_t i = grid_thread(); i < runs.outer * runs.run; i += grid_threads()) {
    const std::int64_t o = i / runs.run, at = i - o * runs.run;
    to[o * runs.to_stride + at] = from[o * runs.from_stride + at];
  }
}

/// The same with sums; a unit is a pack.
template <class T, int width>
__global__ void add_runs_kernel(Runs runs, const Pack<T, width>* from, Pack<T, width>* to) {
  for (std::int64_t i = grid_thread(); i < runs.outer * runs.run; i += grid_threads()) {
    const std::int64_t o = i / runs.run, at = i - o * runs.run;
    const auto more = load_floats<width>(from[o * runs.from_stride + at].values);
    T* target = to[o * runs.to_stride + at].values;
    auto sum = load_floats<width>(target);
    for (int k = 0; k < width; ++k) sum[k] += more[k];
    store_floats(target, sum);
  }
}

void copy_slice_cuda(Stream& stream, const CopySlice& arguments) {
  const Shape &from = arguments.from.shape, &to = arguments.to.shape;
  const std::int64_t inner = from[2], size = static_cast<std::int64_t>(size_of(arguments.from.dtype));
  const auto* source = static_cast<const std::byte*>(arguments.from.data) + arguments.from_start * inner * size;
  auto* target = static_cast<std::byte*>(arguments.to.data) + arguments.to_start * inner * size;
  const Runs bytes{from[0], arguments.length * inner * size, from[1] * inner * size, to[1] * inner * size};
  if (bytes.outer * bytes.run == 0) return;
  // Strides do not count where there is one run.
  const bool whole = bytes.outer == 1;
  const bool packed = bytes.run % 16 == 0 && (whole || (bytes.from_stride % 16 == 0 && bytes.to_stride % 16 == 0)) &&
                      aligned_16(source, target);
  const auto run = [&]<class Unit>(void (*kernel)(Runs, const Unit*, Unit*)) {
    constexpr auto unit = static_cast<std::int64_t>(sizeof(Unit));
    const Runs units{bytes.outer, bytes.run / unit, bytes.from_stride / unit, bytes.to_stride / unit};
    launch(stream, {"copy_slice", from, blocks_for(stream, units.outer * units.run), block_threads}, kernel, units,
           reinterpret_cast<const Unit*>(source), reinterpret_cast<Unit*>(target));
  };
  if (arguments.write == Write::accumulate)
    return with_value_type(arguments.to, [&]<class T>(T) {
      return packed ? run(&add_runs_kernel<T, pack_width<T>>) : run(&add_runs_kernel<T, 1>);
    });
  if (packed) return run(&copy_runs_kernel<Pack<std::uint32_t, 4>>);
  switch (size) {
    case 1:
      return run(&copy_runs_kernel<std::uint8_t>);
    case 2:
      return run(&copy_runs_kernel<std::uint16_t>);
    case 4:
      return run(&copy_runs_kernel<std::uint32_t>);
    default:
      return run(&copy_runs_kernel<std::uint64_t>);
  }
}

const bool registered = copy_slice.implement(DeviceKind::cuda, &copy_slice_cuda);

}  // namespace
}  // namespace tweedie
