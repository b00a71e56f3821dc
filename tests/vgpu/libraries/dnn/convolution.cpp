#include "libraries/dnn/convolution.h"

#include <oneapi/dnnl/dnnl.h>

#include <string>

#include "libraries/interface.h"

namespace tweedie::vgpu::libraries {
namespace {

using Values = std::vector<float>;

// Dense copies in the order n, h, w, c (filters: k, r, s, c).
template <class F>
void each(const Tensor& t, F f) {
  size_t dense = 0;
  for (int64_t n = 0; n < t.size[0]; ++n)
    for (int64_t h = 0; h < t.size[2]; ++h)
      for (int64_t w = 0; w < t.size[3]; ++w)
        for (int64_t c = 0; c < t.size[1]; ++c)
          f(dense++, static_cast<size_t>(n * t.stride[0] + c * t.stride[1] + h * t.stride[2] + w * t.stride[3]));
}
Values gather(const Tensor& t, const void* host) {
  Values values(static_cast<size_t>(t.size[0] * t.size[1] * t.size[2] * t.size[3]));
  each(t, [&](size_t dense, size_t at) { values[dense] = static_cast<float>(load(t.type, host, at)); });
  return values;
}
void scatter(const Tensor& t, void* host, const Values& values, double alpha, double beta) {
  each(t, [&](size_t dense, size_t at) {
    double value = alpha * static_cast<double>(values[dense]);
    if (beta != 0) value += beta * load(t.type, host, at);
    store(t.type, host, at, value);
  });
}

struct Shape {
  int64_t n, h, w, c, oh, ow, k, r, s, cg, kg, groups, columns, pixels;
};

// For the pixel `p` of an output image and the filter place `q` (of r * s): the input place, or -1 in the padding.
int64_t place(const Convolution& v, const Shape& z, int64_t p, int64_t q) {
  const Geometry& g = v.geometry;
  const int64_t r = g.flip ? z.r - 1 - q / z.s : q / z.s, s = g.flip ? z.s - 1 - q % z.s : q % z.s;
  const int64_t y = p / z.ow * g.stride[0] - g.pad[0] + r * g.dilation[0];
  const int64_t x = p % z.ow * g.stride[1] - g.pad[1] + s * g.dilation[1];
  return y < 0 || y >= z.h || x < 0 || x >= z.w ? -1 : y * z.w + x;
}
// The rows are output pixels of image n, the columns filter places times channels of a group.
void to_columns(const Convolution& v, const Shape& z, const Values& x, int64_t n, int64_t group, Values& columns) {
  for (int64_t p = 0; p < z.pixels; ++p)
    for (int64_t q = 0; q < z.r * z.s; ++q) {
      const int64_t from = place(v, z, p, q);
      float* to = columns.data() + p * z.columns + q * z.cg;
      for (int64_t c = 0; c < z.cg; ++c)
        to[c] = from < 0 ? 0.0f : x[static_cast<size_t>((n * z.h * z.w + from) * z.c + group * z.cg + c)];
    }
}
void from_columns(const Convolution& v, const Shape& z, Values& x, int64_t n, int64_t group, const Values& columns) {
  for (int64_t p = 0; p < z.pixels; ++p)
    for (int64_t q = 0; q < z.r * z.s; ++q) {
      const int64_t to = place(v, z, p, q);
      if (to < 0) continue;
      for (int64_t c = 0; c < z.cg; ++c)
        x[static_cast<size_t>((n * z.h * z.w + to) * z.c + group * z.cg + c)] +=
            columns[static_cast<size_t>(p * z.columns + q * z.cg + c)];
    }
}

}  // namespace

void* view(const Tensor& t, const void* pointer, bool write, const char* call, const char* what) {
  // Packed tensors are one piece; others are checked row by row of their innermost contiguous direction.
  int64_t extent = 1, count = 1;
  for (int k = 0; k < 4; ++k) {
    if (t.size[k] <= 0) return nullptr;
    extent += (t.size[k] - 1) * t.stride[k];
    count *= t.size[k];
  }
  const size_t bytes = bytes_of(t.type);
  if (extent == count || write)
    return vgpu_interface_view(pointer, static_cast<size_t>(extent) * bytes, 0, 1, write, call, what);
  return vgpu_interface_view(pointer, bytes, static_cast<size_t>(extent - 1) * bytes, extent > 1 ? 2 : 1, write, call,
                             what);
}

int64_t output_size(int64_t input, int64_t pad, int64_t dilation, int64_t filter, int64_t stride) {
  return (input + 2 * pad - (dilation * (filter - 1) + 1)) / stride + 1;
}

std::string problem_of(const Convolution& v) {
  const Geometry& g = v.geometry;
  if (v.x.size[1] != v.w.size[1] * g.groups)
    return "the input has " + std::to_string(v.x.size[1]) + " channels, the filter wants " +
           std::to_string(v.w.size[1] * g.groups);
  if (v.w.size[0] != v.y.size[1] || v.w.size[0] % g.groups) return "the filter's and the output's channels differ";
  if (v.x.size[0] != v.y.size[0]) return "the batches differ";
  for (int k = 0; k < 2; ++k) {
    const int64_t expected = output_size(v.x.size[2 + k], g.pad[k], g.dilation[k], v.w.size[2 + k], g.stride[k]);
    if (v.y.size[2 + k] != expected)
      return "the output's side is " + std::to_string(v.y.size[2 + k]) + ", " + std::to_string(expected) +
             " is expected";
  }
  return "";
}

cudaError_t run(const Convolution& v) {
  const Geometry& g = v.geometry;
  Shape z;
  z.n = v.x.size[0], z.c = v.x.size[1], z.h = v.x.size[2], z.w = v.x.size[3];
  z.k = v.y.size[1], z.oh = v.y.size[2], z.ow = v.y.size[3];
  z.cg = v.w.size[1], z.r = v.w.size[2], z.s = v.w.size[3];
  z.groups = g.groups, z.kg = z.k / z.groups;
  z.columns = z.r * z.s * z.cg, z.pixels = z.oh * z.ow;
  const Tensor& first = v.pass == Pass::data ? v.w : v.x;
  const Tensor& second = v.pass == Pass::forward ? v.w : v.y;
  const Tensor& result = v.pass == Pass::forward ? v.y : v.pass == Pass::data ? v.x : v.w;
  const void* a = view(first, v.a, false, v.call, v.pass == Pass::data ? "w" : "x");
  const void* b = view(second, v.b, false, v.call, v.pass == Pass::forward ? "w" : "dy");
  if (v.beta != 0 && !view(result, v.out, false, v.call, "the output (beta is not 0)")) return cudaErrorIllegalAddress;
  void* out = view(result, v.out, true, v.call, "the output");
  if (!a || !b || !out) return cudaErrorIllegalAddress;
  const Values left = gather(first, a), right = gather(second, b);
  Values product(static_cast<size_t>(result.size[0] * result.size[1] * result.size[2] * result.size[3]), 0.0f);
  Values columns(static_cast<size_t>(z.pixels * z.columns));
  // Row-major products with leading dimensions that step over the groups.
  for (int64_t n = 0; n < z.n; ++n)
    for (int64_t group = 0; group < z.groups; ++group) {
      dnnl_status_t status;
      const size_t y_at = static_cast<size_t>(n * z.pixels * z.k + group * z.kg),
                   w_at = static_cast<size_t>(group * z.kg * z.columns);
      if (v.pass == Pass::forward) {
        to_columns(v, z, left, n, group, columns);
        status = dnnl_sgemm('N', 'T', z.pixels, z.kg, z.columns, 1.0f, columns.data(), z.columns, right.data() + w_at,
                            z.columns, 0.0f, product.data() + y_at, z.k);
      } else if (v.pass == Pass::data) {
        status = dnnl_sgemm('N', 'N', z.pixels, z.columns, z.kg, 1.0f, right.data() + y_at, z.k, left.data() + w_at,
                            z.columns, 0.0f, columns.data(), z.columns);
        from_columns(v, z, product, n, group, columns);
      } else {
        to_columns(v, z, left, n, group, columns);
        status = dnnl_sgemm('T', 'N', z.kg, z.columns, z.pixels, 1.0f, right.data() + y_at, z.k, columns.data(),
                            z.columns, 1.0f, product.data() + w_at, z.columns);
      }
      if (status != dnnl_success) return cudaErrorLaunchFailure;
    }
  scatter(result, out, product, v.alpha, v.beta);
  return cudaSuccess;
}

cudaError_t submit(cudaStream_t stream, const Convolution& v) {
  return vgpu_interface_enqueue(
      stream, [](void* data) { return run(*static_cast<Convolution*>(data)); },
      [](void* data) { delete static_cast<Convolution*>(data); }, new Convolution(v));
}

}  // namespace tweedie::vgpu::libraries
