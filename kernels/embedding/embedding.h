#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Embeddings of noise levels and labels. y and grad_y are float32 or bfloat16; all other floating operands are float32.

/// y (N, dim): sinusoidal embedding of t (N) (Vaswani et al. 2017; diffusers' get_timestep_embedding):
/// frequency_k = exp(-log(max_period) k / (half - frequency_shift)), half = dim / 2, angle = scale t frequency_k;
/// y = [sin, cos], or [cos, sin] with cos_first; an odd dim ends with a zero. Angles are formed in double.
struct SinusoidalEmbedding {
  Array t, y;
  bool cos_first = false;
  double frequency_shift = 1.0, scale = 1.0, max_period = 10000.0;
};
void validate(const SinusoidalEmbedding& arguments);
double flops(const SinusoidalEmbedding& arguments);
double bytes_moved(const SinusoidalEmbedding& arguments);
extern Operation<SinusoidalEmbedding> embed_sinusoidal;

/// y (N, 2 F): Gaussian Fourier features (Tancik et al. 2020; Song et al. 2021): angle = 2 pi u frequencies (F) with
/// u = log(t) when take_log, else t; y = [sin, cos], or [cos, sin] with cos_first. Angles are formed in double.
struct FourierEmbedding {
  Array t, frequencies, y;
  bool take_log = true;
  bool cos_first = false;
};
void validate(const FourierEmbedding& arguments);
double flops(const FourierEmbedding& arguments);
double bytes_moved(const FourierEmbedding& arguments);
extern Operation<FourierEmbedding> embed_fourier;

/// y (N, C) = table[indices[n], :]; table (K, C), indices (N) int64 in [0, K) (checked on the host where it can be).
struct EmbeddingLookup {
  Array table, indices, y;
};
void validate(const EmbeddingLookup& arguments);
double flops(const EmbeddingLookup& arguments);
double bytes_moved(const EmbeddingLookup& arguments);
extern Operation<EmbeddingLookup> embedding_lookup;

/// grad_table[indices[n], :] += grad_y[n, :], in the order of n (deterministic). Accumulates.
struct EmbeddingLookupBackward {
  Array indices, grad_y, grad_table;
};
void validate(const EmbeddingLookupBackward& arguments);
double flops(const EmbeddingLookupBackward& arguments);
double bytes_moved(const EmbeddingLookupBackward& arguments);
extern Operation<EmbeddingLookupBackward> embedding_lookup_backward;

}  // namespace tweedie
