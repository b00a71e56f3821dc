#include "kernels/embedding/embedding.h"

#include "kernels/runtime/checks.h"

namespace tweedie {

void validate(const SinusoidalEmbedding& arguments) {
  constexpr std::string_view name = "sinusoidal_embedding";
  require_rank(name, "t", arguments.t, 1);
  require_rank(name, "y", arguments.y, 2);
  require_shape(name, "y", arguments.y, {arguments.t.shape[0], arguments.y.shape[1]});
  require_wide_dtype(name, "t", arguments.t, arguments.y);
  const std::int64_t half = arguments.y.shape[1] / 2;
  require(static_cast<double>(half) != arguments.frequency_shift,
          "{}: frequency_shift {} equals half of dim {}: the frequencies are undefined", name,
          arguments.frequency_shift, arguments.y.shape[1]);
}
double flops(const SinusoidalEmbedding& arguments) {
  return 20.0 * static_cast<double>(arguments.y.count());
}
double bytes_moved(const SinusoidalEmbedding& arguments) {
  return bytes_of(arguments.t) + bytes_of(arguments.y);
}

void validate(const FourierEmbedding& arguments) {
  constexpr std::string_view name = "fourier_embedding";
  require_rank(name, "t", arguments.t, 1);
  require_rank(name, "frequencies", arguments.frequencies, 1);
  require_shape(name, "y", arguments.y, {arguments.t.shape[0], 2 * arguments.frequencies.shape[0]});
  require_wide_dtype(name, "t", arguments.t, arguments.y);
  require_wide_dtype(name, "frequencies", arguments.frequencies, arguments.y);
}
double flops(const FourierEmbedding& arguments) {
  return 20.0 * static_cast<double>(arguments.y.count());
}
double bytes_moved(const FourierEmbedding& arguments) {
  return bytes_of(arguments.t) + bytes_of(arguments.frequencies) + bytes_of(arguments.y);
}

void validate(const EmbeddingLookup& arguments) {
  constexpr std::string_view name = "embedding_lookup";
  require_rank(name, "table", arguments.table, 2);
  require_rank(name, "indices", arguments.indices, 1);
  require_dtype(name, "indices", arguments.indices, DType::int64);
  require_shape(name, "y", arguments.y, {arguments.indices.shape[0], arguments.table.shape[1]});
  require_wide_dtype(name, "table", arguments.table, arguments.y);
}
double flops(const EmbeddingLookup&) {
  return 0.0;
}
double bytes_moved(const EmbeddingLookup& arguments) {
  const double rows = static_cast<double>(arguments.y.count()) * static_cast<double>(size_of(arguments.table.dtype));
  return bytes_of(arguments.indices) + rows + bytes_of(arguments.y);
}

void validate(const EmbeddingLookupBackward& arguments) {
  constexpr std::string_view name = "embedding_lookup_backward";
  require_rank(name, "grad_table", arguments.grad_table, 2);
  require_rank(name, "indices", arguments.indices, 1);
  require_dtype(name, "indices", arguments.indices, DType::int64);
  require_shape(name, "grad_y", arguments.grad_y, {arguments.indices.shape[0], arguments.grad_table.shape[1]});
  require_wide_dtype(name, "grad_table", arguments.grad_table, arguments.grad_y);
}
double flops(const EmbeddingLookupBackward& arguments) {
  return static_cast<double>(arguments.grad_y.count());
}
double bytes_moved(const EmbeddingLookupBackward& arguments) {
  const double rows =
      static_cast<double>(arguments.grad_y.count()) * static_cast<double>(size_of(arguments.grad_table.dtype));
  return bytes_of(arguments.indices) + bytes_of(arguments.grad_y) + 2.0 * rows;
}

}  // namespace tweedie
