#include "kernels/reduction/reduction.h"

namespace tweedie {
namespace {

void reduce_reference(Stream&, const Reduce& arguments) {
  const std::int64_t outer = arguments.x.shape[0], reduced = arguments.x.shape[1], inner = arguments.x.shape[2];
  const double* x = arguments.x.as<double>();
  double* y = arguments.y.as<double>();
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      double sum = 0.0;
      for (std::int64_t r = 0; r < reduced; ++r) sum += x[(o * reduced + r) * inner + i];
      if (arguments.kind == ReduceKind::mean) sum /= static_cast<double>(reduced);
      y[o * inner + i] = (arguments.write == Write::accumulate ? y[o * inner + i] : 0.0) + sum;
    }
}

const bool registered = reduce.implement(DeviceKind::reference, &reduce_reference);

}  // namespace
}  // namespace tweedie
