#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

// Multi-head attention, fused: out = softmax(scale q k') v for each sample and head, in tiles with an online softmax
// (Milakov and Gimelshein 2018; Dao et al. 2022). The T x T matrix is never stored.
// q (N, T, heads, D), k and v (N, S, heads, D), out (N, T, heads, D), float32 or bfloat16. With bfloat16 operands
// scores and sums are float32; on cuda probabilities and gradients of scores are rounded to bfloat16 for their
// products.

/// log_sum_exp (N, heads, T), float32: the softmax's normaliser, all that the backward keeps.
/// bytes: q + k + v + out + log_sum_exp; flops: 4 N heads T S D.
struct AttentionForward {
  Array q, k, v, out, log_sum_exp;
  double scale = 1.0;
};
void validate(const AttentionForward& arguments);
double flops(const AttentionForward& arguments);
double bytes_moved(const AttentionForward& arguments);
extern Operation<AttentionForward> attention_forward;

/// All three gradients overwrite. flops: 10 N heads T S D (the probabilities are recomputed).
struct AttentionBackward {
  Array q, k, v, out, log_sum_exp, grad_out;
  Array grad_q, grad_k, grad_v;
  double scale = 1.0;
};
void validate(const AttentionBackward& arguments);
double flops(const AttentionBackward& arguments);
double bytes_moved(const AttentionBackward& arguments);
extern Operation<AttentionBackward> attention_backward;

}  // namespace tweedie
