// A few thousand numbers a step: plain loops.
#include "kernels/embedding/embedding.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/runtime/parallel.h"

namespace tweedie {

constinit Operation<SinusoidalEmbedding> embed_sinusoidal{"sinusoidal_embedding"};
constinit Operation<FourierEmbedding> embed_fourier{"fourier_embedding"};
constinit Operation<EmbeddingLookup> embedding_lookup{"embedding_lookup"};
constinit Operation<EmbeddingLookupBackward> embedding_lookup_backward{"embedding_lookup_backward"};

namespace {

/// A row of angles as [sin, cos] or [cos, sin].
template <class Angle>
void fill_row(std::int64_t half, bool cos_first, Angle&& angle, float* y) {
  float* sines = y + (cos_first ? half : 0);
  float* cosines = y + (cos_first ? 0 : half);
  for (std::int64_t k = 0; k < half; ++k) {
    const double a = angle(k);
    sines[k] = static_cast<float>(std::sin(a));
    cosines[k] = static_cast<float>(std::cos(a));
  }
}

void sinusoidal_cpu(Stream&, const SinusoidalEmbedding& arguments) {
  const std::int64_t dim = arguments.y.shape[1], half = dim / 2;
  const float* t = arguments.t.as<float>();
  float* y = arguments.y.as<float>();
  std::vector<double> frequencies(static_cast<std::size_t>(half));
  for (std::int64_t k = 0; k < half; ++k)
    frequencies[static_cast<std::size_t>(k)] =
        arguments.scale * std::exp(-std::log(arguments.max_period) * static_cast<double>(k) /
                                   (static_cast<double>(half) - arguments.frequency_shift));
  parallel_for(arguments.t.count(), std::max<std::int64_t>(1, 512 / std::max<std::int64_t>(1, dim)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t n = first; n < last; ++n) {
                   fill_row(
                       half, arguments.cos_first,
                       [&](std::int64_t k) { return t[n] * frequencies[static_cast<std::size_t>(k)]; }, y + n * dim);
                   if (dim % 2 == 1) y[n * dim + dim - 1] = 0.0f;
                 }
               });
}

void fourier_cpu(Stream&, const FourierEmbedding& arguments) {
  const std::int64_t half = arguments.frequencies.shape[0];
  const float* t = arguments.t.as<float>();
  const float* frequencies = arguments.frequencies.as<float>();
  float* y = arguments.y.as<float>();
  parallel_for(arguments.t.count(), std::max<std::int64_t>(1, 512 / std::max<std::int64_t>(1, half)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t n = first; n < last; ++n) {
                   const double u = arguments.take_log ? std::log(static_cast<double>(t[n])) : t[n];
                   fill_row(
                       half, arguments.cos_first,
                       [&](std::int64_t k) { return 2.0 * std::numbers::pi * u * frequencies[k]; }, y + n * 2 * half);
                 }
               });
}

std::int64_t checked(std::string_view operation, const Array& indices, std::int64_t n, std::int64_t rows) {
  const std::int64_t index = indices.as<std::int64_t>()[n];
  require(index >= 0 && index < rows, "{}: indices[{}] is {}, expected 0 to {}", operation, n, index, rows - 1);
  return index;
}

void lookup_cpu(Stream&, const EmbeddingLookup& arguments) {
  const std::int64_t rows = arguments.table.shape[0], width = arguments.table.shape[1];
  const float* table = arguments.table.as<float>();
  float* y = arguments.y.as<float>();
  for (std::int64_t n = 0; n < arguments.indices.count(); ++n) {
    const float* row = table + checked("embedding_lookup", arguments.indices, n, rows) * width;
    std::copy(row, row + width, y + n * width);
  }
}

void lookup_backward_cpu(Stream&, const EmbeddingLookupBackward& arguments) {
  const std::int64_t rows = arguments.grad_table.shape[0], width = arguments.grad_table.shape[1];
  const float* grad_y = arguments.grad_y.as<float>();
  float* grad_table = arguments.grad_table.as<float>();
  for (std::int64_t n = 0; n < arguments.indices.count(); ++n) {
    float* row = grad_table + checked("embedding_lookup_backward", arguments.indices, n, rows) * width;
    for (std::int64_t c = 0; c < width; ++c) row[c] += grad_y[n * width + c];
  }
}

const bool registered = embed_sinusoidal.implement(DeviceKind::cpu, &sinusoidal_cpu) &&
                        embed_fourier.implement(DeviceKind::cpu, &fourier_cpu) &&
                        embedding_lookup.implement(DeviceKind::cpu, &lookup_cpu) &&
                        embedding_lookup_backward.implement(DeviceKind::cpu, &lookup_backward_cpu);

}  // namespace
}  // namespace tweedie
