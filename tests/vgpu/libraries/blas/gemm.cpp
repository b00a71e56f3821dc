#include "libraries/blas/gemm.h"

#include <oneapi/dnnl/dnnl.h>

#include <cmath>

#include "libraries/interface.h"

namespace tweedie::vgpu::libraries {
namespace {

void complain(const Gemm& gemm, const std::string& text) {
  vgpu_interface_report((std::string("launch: ") + gemm.call + ": " + text).c_str());
}
bool check_matrix(const Gemm& gemm, const char* name, const Matrix& m) {
  const int64_t leading = m.row_major ? m.columns : m.rows;
  if (m.ld >= std::max<int64_t>(1, leading)) return true;
  complain(gemm, std::string("the leading dimension of ") + name + " is " + std::to_string(m.ld) + ", less than its " +
                     std::to_string(leading) + (m.row_major ? " columns" : " rows"));
  return false;
}

// A view of one batch's matrix; null after a report.
void* view(const Gemm& gemm, const char* name, const Matrix& m, int64_t batch, bool write) {
  const int64_t inner = m.row_major ? m.columns : m.rows, outer = m.row_major ? m.rows : m.columns;
  const char* base =
      static_cast<const char*>(m.pointer) + batch * m.batch_stride * static_cast<int64_t>(bytes_of(m.type));
  return vgpu_interface_view(base, static_cast<size_t>(inner) * bytes_of(m.type),
                             static_cast<size_t>(m.ld) * bytes_of(m.type), static_cast<size_t>(outer), write, gemm.call,
                             name);
}
size_t index_of(const Matrix& m, int64_t row, int64_t column) {
  return static_cast<size_t>(m.row_major ? row * m.ld + column : column * m.ld + row);
}

// op(M), column-major and dense, as float or double.
template <class T>
std::vector<T> dense(const Matrix& m, const void* host, bool transpose) {
  std::vector<T> out(static_cast<size_t>(m.rows * m.columns));
  for (int64_t c = 0; c < m.columns; ++c)
    for (int64_t r = 0; r < m.rows; ++r)
      out[static_cast<size_t>(transpose ? r * m.columns + c : c * m.rows + r)] =
          static_cast<T>(load(m.type, host, index_of(m, r, c)));
  return out;
}

double activate(Gemm::Activation kind, double x) {
  if (kind == Gemm::Activation::relu) return x > 0 ? x : 0;
  if (kind == Gemm::Activation::gelu) return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  return x;
}

}  // namespace

Type type_of(cudaDataType_t type) {
  switch (type) {
    case CUDA_R_32F:
      return Type::f32;
    case CUDA_R_64F:
      return Type::f64;
    case CUDA_R_16F:
      return Type::f16;
    case CUDA_R_16BF:
      return Type::bf16;
    default:
      return Type::other;
  }
}

Verdict check(const Gemm& gemm) {
  const int64_t m = gemm.d.rows, n = gemm.d.columns, k = gemm.transpose_a ? gemm.a.rows : gemm.a.columns;
  if (m < 0 || n < 0 || k < 0) {
    complain(gemm, "a dimension is negative");
    return Verdict::bad_argument;
  }
  for (const Matrix* x : {&gemm.a, &gemm.b, &gemm.c, &gemm.d})
    if (x->type == Type::other) return Verdict::unsupported;
  if ((gemm.transpose_a ? gemm.a.columns : gemm.a.rows) != m ||
      (gemm.transpose_b ? gemm.b.columns : gemm.b.rows) != k ||
      (gemm.transpose_b ? gemm.b.rows : gemm.b.columns) != n) {
    complain(gemm, "the shapes do not fit");
    return Verdict::bad_argument;
  }
  if (!check_matrix(gemm, "A", gemm.a) || !check_matrix(gemm, "B", gemm.b) || !check_matrix(gemm, "C", gemm.c) ||
      !check_matrix(gemm, "D", gemm.d))
    return Verdict::bad_argument;
  return Verdict::good;
}

cudaError_t run(const Gemm& gemm) {
  const int64_t m = gemm.d.rows, n = gemm.d.columns, k = gemm.transpose_a ? gemm.a.rows : gemm.a.columns;
  if (m == 0 || n == 0) return cudaSuccess;
  double alpha = gemm.alpha, beta = gemm.beta;
  if (gemm.alpha_device) {
    const size_t bytes = bytes_of(gemm.scalar);
    const void* a = vgpu_interface_view(gemm.alpha_device, bytes, bytes, 1, 0, gemm.call, "alpha");
    const void* b = vgpu_interface_view(gemm.beta_device, bytes, bytes, 1, 0, gemm.call, "beta");
    if (!a || !b) return cudaErrorIllegalAddress;
    alpha = load(gemm.scalar, a, 0);
    beta = load(gemm.scalar, b, 0);
  }
  for (int64_t batch = 0; batch < gemm.batch; ++batch) {
    const void* a = k ? view(gemm, "A", gemm.a, batch, false) : nullptr;
    const void* b = k ? view(gemm, "B", gemm.b, batch, false) : nullptr;
    const void* c = beta != 0 ? view(gemm, "C", gemm.c, batch, false) : nullptr;
    void* d = view(gemm, "D", gemm.d, batch, true);
    const void* bias = gemm.bias ? vgpu_interface_view(gemm.bias, static_cast<size_t>(m) * bytes_of(gemm.bias_type), 0,
                                                       1, 0, gemm.call, "bias")
                                 : nullptr;
    if ((k && (!a || !b)) || (beta != 0 && !c) || !d || (gemm.bias && !bias)) return cudaErrorIllegalAddress;
    auto finish = [&](const auto& product) {
      for (int64_t col = 0; col < n; ++col)
        for (int64_t row = 0; row < m; ++row) {
          double value = alpha * static_cast<double>(product[static_cast<size_t>(col * m + row)]);
          if (beta != 0) value += beta * load(gemm.c.type, c, index_of(gemm.c, row, col));
          if (bias) value += load(gemm.bias_type, bias, static_cast<size_t>(row));
          store(gemm.d.type, d, index_of(gemm.d, row, col), activate(gemm.activation, value));
        }
    };
    if (gemm.a.type == Type::f64) {
      const auto x = dense<double>(gemm.a, a, gemm.transpose_a), y = dense<double>(gemm.b, b, gemm.transpose_b);
      std::vector<double> product(static_cast<size_t>(m * n), 0.0);
      for (int64_t col = 0; col < n; ++col)
        for (int64_t p = 0; p < k; ++p)
          for (int64_t row = 0; row < m; ++row)
            product[static_cast<size_t>(col * m + row)] +=
                x[static_cast<size_t>(p * m + row)] * y[static_cast<size_t>(col * k + p)];
      finish(product);
      continue;
    }
    std::vector<float> product(static_cast<size_t>(m * n), 0.0f);
    if (k) {
      const auto x = dense<float>(gemm.a, a, gemm.transpose_a), y = dense<float>(gemm.b, b, gemm.transpose_b);
      // Column-major D = A B is row-major D' = B' A'.
      if (dnnl_sgemm('N', 'N', n, m, k, 1.0f, y.data(), k, x.data(), m, 0.0f, product.data(), m) != dnnl_success)
        return cudaErrorLaunchFailure;
    }
    finish(product);
  }
  return cudaSuccess;
}

cudaError_t submit(cudaStream_t stream, const Gemm& gemm) {
  return vgpu_interface_enqueue(
      stream, [](void* data) { return run(*static_cast<Gemm*>(data)); },
      [](void* data) { delete static_cast<Gemm*>(data); }, new Gemm(gemm));
}

}  // namespace tweedie::vgpu::libraries
