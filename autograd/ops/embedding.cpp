#include "autograd/ops/embedding.h"

#include "kernels/embedding/embedding.h"

namespace tweedie {

Tensor sinusoidal_embedding(const Tensor& t, std::int64_t dim, const SinusoidalOptions& options) {
  require(t.defined() && t.rank() == 1 && dim >= 2, "sinusoidal_embedding: t {}, expected (N); dim {} of at least 2",
          t.shape(), dim);
  require(!t.requires_grad(), "sinusoidal_embedding: not differentiable in t");
  Tensor y = Tensor::empty({t.size(0), dim}, t.dtype(), t.device());
  embed_sinusoidal(y.stream(), SinusoidalEmbedding{.t = t.array(),
                                                   .y = y.array(),
                                                   .cos_first = options.cos_first,
                                                   .frequency_shift = options.frequency_shift,
                                                   .scale = options.scale,
                                                   .max_period = options.max_period});
  return y;
}

Tensor fourier_embedding(const Tensor& t, const Tensor& frequencies, bool take_log, bool cos_first) {
  require(t.defined() && t.rank() == 1 && frequencies.defined() && frequencies.rank() == 1,
          "fourier_embedding: t {} and frequencies {}, expected (N) and (F)", t.shape(), frequencies.shape());
  require(!t.requires_grad(), "fourier_embedding: not differentiable in t");
  Tensor y = Tensor::empty({t.size(0), 2 * frequencies.size(0)}, t.dtype(), t.device());
  embed_fourier(y.stream(), FourierEmbedding{.t = t.array(),
                                             .frequencies = frequencies.array(),
                                             .y = y.array(),
                                             .take_log = take_log,
                                             .cos_first = cos_first});
  return y;
}

Tensor embedding(const Tensor& table, const Tensor& indices) {
  require(table.defined() && table.rank() == 2 && indices.defined() && indices.rank() == 1,
          "embedding: table {} and indices {}, expected (K, C) and (N)", table.shape(), indices.shape());
  Tensor y = Tensor::empty({indices.size(0), table.size(1)}, table.dtype(), table.device());
  embedding_lookup(y.stream(), {.table = table.array(), .indices = indices.array(), .y = y.array()});
  return record("embedding", y, {table}, [indices](Backward& backward) {
    embedding_lookup_backward(
        indices.stream(),
        {.indices = indices.array(), .grad_y = backward.grad_output().array(), .grad_table = backward.accumulated(0)});
  });
}

}  // namespace tweedie
