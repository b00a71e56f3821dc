#include <algorithm>

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

void start_from_bias(const Array& c, const float* bias, Write write) {
  const std::int64_t columns = c.shape[2];
  float* out = c.as<float>();
  parallel_for(c.count() / columns, std::max<std::int64_t>(1, 65536 / columns),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t row = first; row < last; ++row) {
                   float* to = out + row * columns;
                   if (write == Write::accumulate)
                     for (std::int64_t j = 0; j < columns; ++j) to[j] += bias[j];
                   else
                     std::copy_n(bias, columns, to);
                 }
               });
}

void matmul_cpu(Stream&, const Matmul& arguments) {
  const auto& [a, b, bias, c, transpose_a, transpose_b, alpha, write] = arguments;
  if (c.count() == 0) return;
  const std::int64_t batch = c.shape[0], rows = c.shape[1], columns = c.shape[2];
  const std::int64_t inner = a.shape[transpose_a ? 1 : 2];
  float beta = write == Write::accumulate ? 1.0f : 0.0f;
  if (bias) {
    start_from_bias(c, bias.as<float>(), write);
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

}  // namespace

constinit Operation<Matmul> matrix_multiply{"matmul"};
static const bool registered = matrix_multiply.implement(DeviceKind::cpu, &matmul_cpu);

}  // namespace tweedie
