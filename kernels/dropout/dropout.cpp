#include "kernels/dropout/dropout.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const Dropout& arguments) {
  require_rank("dropout", "x", arguments.x, 2);
  require_shape("dropout", "samples", arguments.samples, {arguments.x.shape[0]});
  require_dtype("dropout", "samples", arguments.samples, DType::int64);
  require_shape("dropout", "y", arguments.y, arguments.x.shape);
  require_same_dtype("dropout", "y", arguments.y, arguments.x);
  require(arguments.probability >= 0.0 && arguments.probability < 1.0, "dropout: probability {} must lie in [0, 1)",
          arguments.probability);
}
double flops(const Dropout& arguments) {
  return static_cast<double>(arguments.x.count());
}
double bytes_moved(const Dropout& arguments) {
  const double passes = arguments.write == Write::accumulate ? 2.0 : 1.0;
  return bytes_of(arguments.x) + bytes_of(arguments.samples) + passes * bytes_of(arguments.y);
}

}  // namespace tweedie
