#include <cmath>
#include <cstdio>
#include <numbers>

#include "kernels/embedding/embedding.h"
#include "kernels/runtime/quads.cuh"

namespace tweedie {
namespace {

template <class T>
__device__ void put_angle(double angle, bool cos_first, std::int64_t half, T* y, std::int64_t k) {
  double sine, cosine;
  sincos(angle, &sine, &cosine);
  store_floats(y + (cos_first ? half + k : k), Pack<float, 1>{{static_cast<float>(sine)}});
  store_floats(y + (cos_first ? k : half + k), Pack<float, 1>{{static_cast<float>(cosine)}});
}

/// exponent = log(max_period) / (half - frequency_shift).
template <class T>
__global__ void sinusoidal_kernel(const float* t, T* y, std::int64_t rows, std::int64_t dim, double scale,
                                  double exponent, bool cos_first) {
  const std::int64_t half = dim / 2;
  for (std::int64_t i = grid_thread(); i < rows * half; i += grid_threads()) {
    const std::int64_t n = i / half, k = i % half;
    const double frequency = scale * exp(-exponent * static_cast<double>(k));
    put_angle(t[n] * frequency, cos_first, half, y + n * dim, k);
  }
  if (dim % 2 == 1)
    for (std::int64_t n = grid_thread(); n < rows; n += grid_threads()) y[n * dim + dim - 1] = T(0.0f);
}

template <class T>
__global__ void fourier_kernel(const float* t, const float* frequencies, T* y, std::int64_t rows, std::int64_t half,
                               bool take_log, bool cos_first) {
  for (std::int64_t i = grid_thread(); i < rows * half; i += grid_threads()) {
    const std::int64_t n = i / half, k = i % half;
    const double u = take_log ? log(static_cast<double>(t[n])) : t[n];
    put_angle(2.0 * std::numbers::pi * u * frequencies[k], cos_first, half, y + n * 2 * half, k);
  }
}

__device__ std::int64_t checked_index(const std::int64_t* indices, std::int64_t n, std::int64_t rows) {
  const std::int64_t index = indices[n];
  if (index < 0 || index >= rows) {
    printf("embedding_lookup: indices[%lld] is %lld, expected 0 to %lld\n", static_cast<long long>(n),
           static_cast<long long>(index), static_cast<long long>(rows - 1));
    __trap();
  }
  return index;
}

template <class T>
__global__ void lookup_kernel(const float* table, const std::int64_t* indices, T* y, std::int64_t table_rows,
                              std::int64_t count, std::int64_t width, bool packed) {
  for_each_quad(count, width, [=](std::int64_t n, std::int64_t column, int values) {
    const float* row = table + checked_index(indices, n, table_rows) * width;
    store_quad(y + n * width + column, load_quad(row + column, values, packed), values, packed);
  });
}

/// A thread gathers what one quad of the table receives, in the order of n: deterministic, without atomics.
template <class T>
__global__ void lookup_backward_kernel(const std::int64_t* indices, const T* grad_y, float* grad_table,
                                       std::int64_t table_rows, std::int64_t count, std::int64_t width, bool packed) {
  for_each_quad(table_rows, width, [=](std::int64_t row, std::int64_t column, int values) {
    Pack<float, 4> sum = {};
    bool named = false;
    for (std::int64_t n = 0; n < count; ++n) {
      if (checked_index(indices, n, table_rows) != row) continue;
      if (!named) sum = load_quad(grad_table + row * width + column, values, packed);
      named = true;
      const auto gradient = load_quad(grad_y + n * width + column, values, packed);
      for (int k = 0; k < 4; ++k) sum[k] += gradient[k];
    }
    if (named) store_quad(grad_table + row * width + column, sum, values, packed);
  });
}

void sinusoidal_cuda(Stream& stream, const SinusoidalEmbedding& arguments) {
  const std::int64_t rows = arguments.y.shape[0], dim = arguments.y.shape[1], half = dim / 2;
  if (rows * dim == 0) return;
  const double exponent = std::log(arguments.max_period) / (static_cast<double>(half) - arguments.frequency_shift);
  with_value_type(arguments.y, [&]<class T>(T) {
    launch(stream, {"sinusoidal_embedding", arguments.y.shape, blocks_for(stream, rows * dim), block_threads},
           &sinusoidal_kernel<T>, arguments.t.as<float>(), arguments.y.as<T>(), rows, dim, arguments.scale, exponent,
           arguments.cos_first);
  });
}

void fourier_cuda(Stream& stream, const FourierEmbedding& arguments) {
  const std::int64_t rows = arguments.y.shape[0], half = arguments.frequencies.shape[0];
  if (rows * half == 0) return;
  with_value_type(arguments.y, [&]<class T>(T) {
    launch(stream, {"fourier_embedding", arguments.y.shape, blocks_for(stream, rows * half), block_threads},
           &fourier_kernel<T>, arguments.t.as<float>(), arguments.frequencies.as<float>(), arguments.y.as<T>(), rows,
           half, arguments.take_log, arguments.cos_first);
  });
}

void lookup_cuda(Stream& stream, const EmbeddingLookup& arguments) {
  const std::int64_t count = arguments.indices.count(), width = arguments.table.shape[1];
  if (count * width == 0) return;
  const float* table = arguments.table.as<float>();
  with_value_type(arguments.y, [&]<class T>(T) {
    T* y = arguments.y.as<T>();
    launch(stream, {"embedding_lookup", arguments.y.shape, quad_grid(stream, count, width), block_threads},
           &lookup_kernel<T>, table, arguments.indices.as<std::int64_t>(), y, arguments.table.shape[0], count, width,
           width % 4 == 0 && aligned_16(table, y));
  });
}

void lookup_backward_cuda(Stream& stream, const EmbeddingLookupBackward& arguments) {
  const std::int64_t count = arguments.indices.count(), rows = arguments.grad_table.shape[0];
  const std::int64_t width = arguments.grad_table.shape[1];
  if (count * width == 0) return;
  float* grad_table = arguments.grad_table.as<float>();
  with_value_type(arguments.grad_y, [&]<class T>(T) {
    const T* grad_y = arguments.grad_y.as<T>();
    launch(stream, {"embedding_lookup_backward", arguments.grad_y.shape, quad_grid(stream, rows, width), block_threads},
           &lookup_backward_kernel<T>, arguments.indices.as<std::int64_t>(), grad_y, grad_table, rows, count, width,
           width % 4 == 0 && aligned_16(grad_y, grad_table));
  });
}

const bool registered = embed_sinusoidal.implement(DeviceKind::cuda, &sinusoidal_cuda) &&
                        embed_fourier.implement(DeviceKind::cuda, &fourier_cuda) &&
                        embedding_lookup.implement(DeviceKind::cuda, &lookup_cuda) &&
                        embedding_lookup_backward.implement(DeviceKind::cuda, &lookup_backward_cuda);

}  // namespace
}  // namespace tweedie
