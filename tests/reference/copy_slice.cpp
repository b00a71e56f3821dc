#include "kernels/copy_slice/copy_slice.h"

#include <cstring>

namespace tweedie {
namespace {

void copy_slice_reference(Stream&, const CopySlice& arguments) {
  const Shape &from = arguments.from.shape, &to = arguments.to.shape;
  const std::size_t size = size_of(arguments.from.dtype);
  for (std::int64_t o = 0; o < from[0]; ++o)
    for (std::int64_t j = 0; j < arguments.length; ++j)
      for (std::int64_t i = 0; i < from[2]; ++i) {
        const std::int64_t source = (o * from[1] + arguments.from_start + j) * from[2] + i;
        const std::int64_t target = (o * to[1] + arguments.to_start + j) * to[2] + i;
        if (arguments.write == Write::accumulate)
          arguments.to.as<double>()[target] += arguments.from.as<double>()[source];
        else
          std::memcpy(static_cast<char*>(arguments.to.data) + static_cast<std::size_t>(target) * size,
                      static_cast<const char*>(arguments.from.data) + static_cast<std::size_t>(source) * size, size);
      }
}

void permute_reference(Stream&, const Permute& arguments) {
  const Shape &x = arguments.x.shape, &y = arguments.y.shape;
  const std::size_t size = size_of(arguments.x.dtype);
  for (std::int64_t target = 0; target < y.count(); ++target) {
    std::int64_t rest = target, source = 0;
    for (int axis = y.rank() - 1; axis >= 0; --axis) {
      const int from = arguments.axes[axis];
      source += rest % y[axis] * x.count_between(from + 1, x.rank());
      rest /= y[axis];
    }
    std::memcpy(static_cast<char*>(arguments.y.data) + static_cast<std::size_t>(target) * size,
                static_cast<const char*>(arguments.x.data) + static_cast<std::size_t>(source) * size, size);
  }
}

const bool registered = copy_slice.implement(DeviceKind::reference, &copy_slice_reference) &&
                        permute_axes.implement(DeviceKind::reference, &permute_reference);

}  // namespace
}  // namespace tweedie
