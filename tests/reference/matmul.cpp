#include "kernels/matmul/matmul.h"

#include "tests/reference/activation.h"

namespace tweedie {
namespace {

void matmul_reference(Stream&, const Matmul& arguments) {
  const std::int64_t batch = arguments.c.shape[0], rows = arguments.c.shape[1], columns = arguments.c.shape[2];
  const std::int64_t inner = arguments.a.shape[arguments.transpose_a ? 1 : 2];
  const bool shared_b = arguments.b.shape[0] == 1;
  const double* a = arguments.a.as<double>();
  const double* b = arguments.b.as<double>();
  double* c = arguments.c.as<double>();
  for (std::int64_t n = 0; n < batch; ++n)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        const double* a_n = a + n * rows * inner;
        const double* b_n = b + (shared_b ? 0 : n * inner * columns);
        double sum = 0.0;
        for (std::int64_t k = 0; k < inner; ++k)
          sum += (arguments.transpose_a ? a_n[k * rows + i] : a_n[i * inner + k]) *
                 (arguments.transpose_b ? b_n[j * inner + k] : b_n[k * columns + j]);
        double value = arguments.alpha * sum;
        if (arguments.bias) value += arguments.bias.as<double>()[j];
        const std::int64_t at = (n * rows + i) * columns + j;
        if (arguments.residual) value += arguments.residual.as<double>()[at];
        if (arguments.activation) value = reference::activated(*arguments.activation, value);
        double& out = c[at];
        out = arguments.write == Write::accumulate ? out + value : value;
      }
}

const bool registered = matrix_multiply.implement(DeviceKind::reference, &matmul_reference);

}  // namespace
}  // namespace tweedie
