#include "kernels/embedding/embedding.h"

#include <cmath>
#include <numbers>

namespace tweedie {
namespace {

void sinusoidal_reference(Stream&, const SinusoidalEmbedding& arguments) {
  const std::int64_t dim = arguments.y.shape[1], half = dim / 2;
  for (std::int64_t n = 0; n < arguments.t.count(); ++n) {
    double* y = arguments.y.as<double>() + n * dim;
    for (std::int64_t k = 0; k < half; ++k) {
      const double exponent = -std::log(arguments.max_period) * static_cast<double>(k) /
                              (static_cast<double>(half) - arguments.frequency_shift);
      const double angle = arguments.scale * arguments.t.as<double>()[n] * std::exp(exponent);
      y[k] = arguments.cos_first ? std::cos(angle) : std::sin(angle);
      y[half + k] = arguments.cos_first ? std::sin(angle) : std::cos(angle);
    }
    if (dim % 2 == 1) y[dim - 1] = 0.0;
  }
}

void fourier_reference(Stream&, const FourierEmbedding& arguments) {
  const std::int64_t half = arguments.frequencies.shape[0];
  for (std::int64_t n = 0; n < arguments.t.count(); ++n)
    for (std::int64_t k = 0; k < half; ++k) {
      const double t = arguments.t.as<double>()[n], u = arguments.take_log ? std::log(t) : t;
      const double angle = 2.0 * std::numbers::pi * u * arguments.frequencies.as<double>()[k];
      double* y = arguments.y.as<double>() + n * 2 * half;
      y[k] = arguments.cos_first ? std::cos(angle) : std::sin(angle);
      y[half + k] = arguments.cos_first ? std::sin(angle) : std::cos(angle);
    }
}

void lookup_reference(Stream&, const EmbeddingLookup& arguments) {
  const std::int64_t width = arguments.table.shape[1];
  for (std::int64_t n = 0; n < arguments.indices.count(); ++n)
    for (std::int64_t c = 0; c < width; ++c)
      arguments.y.as<double>()[n * width + c] =
          arguments.table.as<double>()[arguments.indices.as<std::int64_t>()[n] * width + c];
}

void lookup_backward_reference(Stream&, const EmbeddingLookupBackward& arguments) {
  const std::int64_t width = arguments.grad_table.shape[1];
  for (std::int64_t n = 0; n < arguments.indices.count(); ++n)
    for (std::int64_t c = 0; c < width; ++c)
      arguments.grad_table.as<double>()[arguments.indices.as<std::int64_t>()[n] * width + c] +=
          arguments.grad_y.as<double>()[n * width + c];
}

const bool registered = embed_sinusoidal.implement(DeviceKind::reference, &sinusoidal_reference) &&
                        embed_fourier.implement(DeviceKind::reference, &fourier_reference) &&
                        embedding_lookup.implement(DeviceKind::reference, &lookup_reference) &&
                        embedding_lookup_backward.implement(DeviceKind::reference, &lookup_backward_reference);

}  // namespace
}  // namespace tweedie
