#include <algorithm>

#include "kernels/activation/activation_cpu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/runtime/onednn.h"
#include "kernels/runtime/parallel.h"

namespace tweedie {
namespace {

void gemm(bool transpose_a, bool transpose_b, std::int64_t rows, std::int64_t columns, std::int64_t inner, float alpha,
          const float* a, const float* b, float beta, float* c) {
  const std::int64_t a_stride = transpose_a ? rows : inner, b_stride = transpose_b ? inner : columns;
  const dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', rows, columns, inner, alpha,
                                          a, a_stride, b, b_stride, beta, c, columns);
  require(status == dnnl_success, "matmul: oneDNN's sgemm of {} x {} x {} failed with status {}", rows, columns, inner,
          static_cast<int>(status));
}

/// c = [c +] bias [+ residual], where accumulating and where they are given; there is one of the two at least.
void start_from(const Array& c, const float* bias, const float* residual, Write write) {
  const std::int64_t columns = c.shape[2];
  float* out = c.as<float>();
  parallel_for(c.count() / columns, std::max<std::int64_t>(1, 65536 / columns),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t row = first; row < last; ++row) {
                   float* to = out + row * columns;
                   if (residual != nullptr) std::copy_n(residual + row * columns, columns, to);
                   if (bias == nullptr) continue;
                   if (residual != nullptr || write == Write::accumulate)
                     for (std::int64_t j = 0; j < columns; ++j) to[j] += bias[j];
                   else
                     std::copy_n(bias, columns, to);
                 }
               });
}

/// All but the activation.
void product_cpu(const Matmul& arguments) {
  const auto& [a, b, bias, c, transpose_a, transpose_b, alpha, write, residual, activation] = arguments;
  const std::int64_t batch = c.shape[0], rows = c.shape[1], columns = c.shape[2];
  const std::int64_t inner = a.shape[transpose_a ? 1 : 2];
  float beta = write == Write::accumulate ? 1.0f : 0.0f;
  if (bias || residual) {
    start_from(c, bias ? bias.as<float>() : nullptr, residual ? residual.as<float>() : nullptr, write);
    beta = 1.0f;
  }
  if (inner == 0) {
    if (beta == 0.0f) std::fill_n(c.as<float>(), c.count(), 0.0f);
    return;
  }
  const float* a_data = a.as<float>();
  const float* b_data = b.as<float>();
  float* c_data = c.as<float>();
  const float scale = static_cast<float>(alpha);
  const bool shared_b = b.shape[0] == 1;
  if (batch == 1 || (shared_b && !transpose_a)) {
    gemm(transpose_a, transpose_b, batch * rows, columns, inner, scale, a_data, b_data, beta, c_data);
    return;
  }
  parallel_for(batch, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n)
      gemm(transpose_a, transpose_b, rows, columns, inner, scale, a_data + n * rows * inner,
           b_data + (shared_b ? 0 : n * inner * columns), beta, c_data + n * rows * columns);
  });
}

void matmul_cpu(Stream&, const Matmul& arguments) {
  const Array& c = arguments.c;
  if (c.count() == 0) return;
  product_cpu(arguments);
  if (arguments.activation) activate_on_cpu({.kind = *arguments.activation, .x = c, .y = c});
}

}  // namespace

constinit Operation<Matmul> matrix_multiply{"matmul"};
static const bool registered = matrix_multiply.implement(DeviceKind::cpu, &matmul_cpu);

}  // namespace tweedie
