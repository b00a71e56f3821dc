#include "kernels/attention/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/matmul/panel_gemm-inl.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/simd-inl.h"

#ifndef TWEEDIE_ATTENTION_TYPES
#define TWEEDIE_ATTENTION_TYPES
namespace tweedie {

/// One sample and head inside (N, positions, heads, D) arrays: rows are `row` elements apart.
struct AttentionHead {
  std::int64_t queries = 0, keys = 0, channels = 0, row = 0;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *grad_out = nullptr;
  float scale = 1.0f;
  float* log_sum_exp = nullptr;  // (T)
};
struct AttentionOutputs {
  float *out = nullptr, *grad_q = nullptr, *grad_k = nullptr, *grad_v = nullptr;
};

/// Scores are held transposed, a row for each key and a lane for each query, so that the softmax needs no sums across
/// lanes. A tile takes 16 KiB, and with its operands stays in the first-level cache.
inline constexpr std::int64_t query_tile = 64, key_tile = 64;

/// Buffers of one thread, for as long as it works on one call. A `columns` buffer is (channels, query tile), a `rows`
/// buffer (positions, channels), where it is a right operand with the channels padded to a panel.
struct AttentionScratch {
  std::vector<float> q_columns, grad_out_columns, sum_columns, scores, grad_scores;
  std::vector<float> k_rows, v_rows, q_rows, grad_out_rows, grad_k_rows, grad_v_rows;
  float maximum[query_tile], normaliser[query_tile], factor[query_tile], delta[query_tile];
};

}  // namespace tweedie
#endif

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// factor * (rows, channels) to (rows, width), zero beyond.
void pack_rows(const float* from, std::int64_t row, std::int64_t rows, std::int64_t channels, float factor,
               std::int64_t width, std::vector<float>& to) {
  to.resize(rows * width);
  for (std::int64_t r = 0; r < rows; ++r) {
    float* out = &to[r * width];
    for (std::int64_t d = 0; d < channels; ++d) out[d] = factor * from[r * row + d];
    for (std::int64_t d = channels; d < width; ++d) out[d] = 0.0f;
  }
}

void unpack_rows(const std::vector<float>& from, std::int64_t rows, std::int64_t channels, float* to,
                 std::int64_t row) {
  const std::int64_t width = padded_to_panel(channels);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t d = 0; d < channels; ++d) to[r * row + d] = from[r * width + d];
}

/// factor * (count, channels) to (channels, width), zero beyond count.
void pack_columns(const float* from, std::int64_t row, std::int64_t count, std::int64_t channels, float factor,
                  std::int64_t width, std::vector<float>& to) {
  to.resize(channels * width);
  for (std::int64_t d = 0; d < channels; ++d) {
    float* out = &to[d * width];
    for (std::int64_t t = 0; t < count; ++t) out[t] = factor * from[t * row + d];
    for (std::int64_t t = count; t < width; ++t) out[t] = 0.0f;
  }
}

/// (channels, width) to (count, channels), column t times factor[t].
void unpack_columns(const std::vector<float>& from, std::int64_t width, std::int64_t count, std::int64_t channels,
                    const float* factor, float* to, std::int64_t row) {
  for (std::int64_t t = 0; t < count; ++t)
    for (std::int64_t d = 0; d < channels; ++d) to[t * row + d] = factor[t] * from[d * width + t];
}

/// The keys or values of a head one after the other: rows far apart fall into few sets of the first-level cache.
const float* dense_rows(const float* from, const AttentionHead& head, std::vector<float>& to) {
  if (head.row == head.channels) return from;
  pack_rows(from, head.row, head.keys, head.channels, 1.0f, head.channels, to);
  return to.data();
}

/// A matrix as panel_gemm reads its left operand: element (i, k) at data[i * row + k * inner].
struct Left {
  const float* data;
  std::int64_t row, inner;
};

/// c (rows, columns) = [c +] a b; b and c are dense but for their row strides.
HWY_INLINE void multiply(const Left& a, const float* b, std::int64_t b_row, float* c, std::int64_t c_row,
                         std::int64_t rows, std::int64_t columns, std::int64_t inner, bool accumulate) {
  panel_gemm({.rows = rows,
              .columns = columns,
              .inner = inner,
              .a = &a.data,
              .a_row = a.row,
              .a_inner = a.inner,
              .b = b,
              .b_row = b_row,
              .c = c,
              .c_row = c_row,
              .start = accumulate ? PanelStart::output : PanelStart::zero});
}

using PanelTag = panel::Tag;

/// One step of the online softmax: scores (keys, width) become exp(score - maximum) with the maximum over all keys so
/// far; `factor` is what the sums over earlier keys must be multiplied with.
void online_softmax(float* scores, std::int64_t keys, std::int64_t width, bool first, AttentionScratch& scratch) {
  const PanelTag d;
  for (std::int64_t t = 0; t < width; t += panel::lanes) {
    const auto before = first ? hn::Set(d, -std::numeric_limits<float>::infinity()) : hn::LoadU(d, scratch.maximum + t);
    auto maximum = before, other = before;
    std::int64_t s = 0;
    for (; s + 2 <= keys; s += 2) {
      maximum = hn::Max(maximum, hn::LoadU(d, scores + s * width + t));
      other = hn::Max(other, hn::LoadU(d, scores + (s + 1) * width + t));
    }
    if (s < keys) other = hn::Max(other, hn::LoadU(d, scores + s * width + t));
    maximum = hn::Max(maximum, other);  // a NaN may be passed over here: its exponential is NaN again
    auto sum = hn::Zero(d);
    for (s = 0; s < keys; ++s) {
      const auto e = exp_anywhere(d, hn::Sub(hn::LoadU(d, scores + s * width + t), maximum));
      hn::StoreU(e, d, scores + s * width + t);
      sum = hn::Add(sum, e);
    }
    if (!first) {
      const auto factor = exp_anywhere(d, hn::Sub(before, maximum));
      hn::StoreU(factor, d, scratch.factor + t);
      sum = hn::MulAdd(factor, hn::LoadU(d, scratch.normaliser + t), sum);
    }
    hn::StoreU(maximum, d, scratch.maximum + t);
    hn::StoreU(sum, d, scratch.normaliser + t);
  }
}

/// columns (channels, width) times factor (width)
void scale_columns(std::vector<float>& columns, std::int64_t channels, std::int64_t width, const float* factor) {
  const PanelTag d;
  for (std::int64_t t = 0; t < width; t += panel::lanes) {
    const auto by = hn::LoadU(d, factor + t);
    for (std::int64_t c = 0; c < channels; ++c) {
      float* at = &columns[c * width + t];
      hn::StoreU(hn::Mul(hn::LoadU(d, at), by), d, at);
    }
  }
}

void forward_head(const AttentionHead& head, float* out, AttentionScratch& scratch) {
  const std::int64_t channels = head.channels, row = head.row;
  scratch.scores.resize(key_tile * query_tile);
  float* const scores = scratch.scores.data();
  const float* const k = dense_rows(head.k, head, scratch.k_rows);
  const float* const v = dense_rows(head.v, head, scratch.v_rows);
  for (std::int64_t first = 0; first < head.queries; first += query_tile) {
    const std::int64_t queries = std::min(query_tile, head.queries - first), width = padded_to_panel(queries);
    pack_columns(head.q + first * row, row, queries, channels, head.scale, width, scratch.q_columns);
    scratch.sum_columns.resize(channels * width);
    for (std::int64_t start = 0; start < head.keys; start += key_tile) {
      const std::int64_t keys = std::min(key_tile, head.keys - start);
      multiply({k + start * channels, channels, 1}, scratch.q_columns.data(), width, scores, width, keys, width,
               channels, false);
      online_softmax(scores, keys, width, start == 0, scratch);
      if (start > 0) scale_columns(scratch.sum_columns, channels, width, scratch.factor);
      multiply({v + start * channels, 1, channels}, scores, width, scratch.sum_columns.data(), width, channels, width,
               keys, start > 0);
    }
    for (std::int64_t t = 0; t < queries; ++t) {
      head.log_sum_exp[first + t] = scratch.maximum[t] + std::log(scratch.normaliser[t]);
      scratch.factor[t] = 1.0f / scratch.normaliser[t];
    }
    unpack_columns(scratch.sum_columns, width, queries, channels, scratch.factor, out + first * row, row);
  }
}

/// scores become P = exp(scores - log_sum_exp), grad_scores P (grad_scores - delta); (keys, width) both.
void probabilities(float* scores, float* grad_scores, std::int64_t keys, std::int64_t width, const float* log_sum_exp,
                   const float* delta) {
  const PanelTag d;
  for (std::int64_t t = 0; t < width; t += panel::lanes) {
    const auto shift = hn::LoadU(d, log_sum_exp + t), mean = hn::LoadU(d, delta + t);
    for (std::int64_t s = 0; s < keys; ++s) {
      const auto p = exp_anywhere(d, hn::Sub(hn::LoadU(d, scores + s * width + t), shift));
      hn::StoreU(p, d, scores + s * width + t);
      float* grad = grad_scores + s * width + t;
      hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(d, grad), mean)), d, grad);
    }
  }
}

/// With P = softmax(scale q k'), dP = grad_out v' and dS = P (dP - delta), delta = rowsum(grad_out * out):
/// grad_v = P' grad_out, grad_q = scale dS k, grad_k = dS' (scale q) (Dao et al. 2022, appendix B).
void backward_head(const AttentionHead& head, const AttentionOutputs& outputs, AttentionScratch& scratch) {
  const std::int64_t channels = head.channels, padded = padded_to_panel(channels), row = head.row;
  scratch.scores.resize(key_tile * query_tile);
  scratch.grad_scores.resize(key_tile * query_tile);
  scratch.grad_k_rows.resize(head.keys * padded);
  scratch.grad_v_rows.resize(head.keys * padded);
  float* const scores = scratch.scores.data();
  float* const grad_scores = scratch.grad_scores.data();
  const float* const k = dense_rows(head.k, head, scratch.k_rows);
  const float* const v = dense_rows(head.v, head, scratch.v_rows);
  for (std::int64_t first = 0; first < head.queries; first += query_tile) {
    const std::int64_t queries = std::min(query_tile, head.queries - first), width = padded_to_panel(queries);
    const float* grad_out = head.grad_out + first * row;
    const float* out = head.out + first * row;
    pack_columns(head.q + first * row, row, queries, channels, head.scale, width, scratch.q_columns);
    pack_columns(grad_out, row, queries, channels, 1.0f, width, scratch.grad_out_columns);
    pack_rows(head.q + first * row, row, queries, channels, head.scale, padded, scratch.q_rows);
    pack_rows(grad_out, row, queries, channels, 1.0f, padded, scratch.grad_out_rows);
    scratch.sum_columns.resize(channels * width);
    std::fill_n(scratch.normaliser, query_tile, 0.0f);
    std::fill_n(scratch.delta, query_tile, 0.0f);
    std::copy_n(head.log_sum_exp + first, queries, scratch.normaliser);
    for (std::int64_t d = 0; d < channels; ++d)
      for (std::int64_t t = 0; t < queries; ++t) scratch.delta[t] += grad_out[t * row + d] * out[t * row + d];

    for (std::int64_t start = 0; start < head.keys; start += key_tile) {
      const std::int64_t keys = std::min(key_tile, head.keys - start);
      multiply({k + start * channels, channels, 1}, scratch.q_columns.data(), width, scores, width, keys, width,
               channels, false);
      multiply({v + start * channels, channels, 1}, scratch.grad_out_columns.data(), width, grad_scores, width, keys,
               width, channels, false);
      probabilities(scores, grad_scores, keys, width, scratch.normaliser, scratch.delta);
      multiply({scores, width, 1}, scratch.grad_out_rows.data(), padded, &scratch.grad_v_rows[start * padded], padded,
               keys, padded, queries, first > 0);
      multiply({grad_scores, width, 1}, scratch.q_rows.data(), padded, &scratch.grad_k_rows[start * padded], padded,
               keys, padded, queries, first > 0);
      multiply({k + start * channels, 1, channels}, grad_scores, width, scratch.sum_columns.data(), width, channels,
               width, keys, start > 0);
    }
    std::fill_n(scratch.factor, query_tile, head.scale);
    unpack_columns(scratch.sum_columns, width, queries, channels, scratch.factor, outputs.grad_q + first * row, row);
  }
  unpack_rows(scratch.grad_k_rows, head.keys, channels, outputs.grad_k, row);
  unpack_rows(scratch.grad_v_rows, head.keys, channels, outputs.grad_v, row);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tweedie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tweedie {

constinit Operation<AttentionForward> attention_forward{"attention_forward"};
constinit Operation<AttentionBackward> attention_backward{"attention_backward"};

namespace {

HWY_EXPORT(forward_head);
HWY_EXPORT(backward_head);

/// Where one sample and head start in arrays of queries' and of keys' length.
struct HeadOffsets {
  std::int64_t queries = 0, keys = 0, log_sum_exp = 0;
};

/// Calls body(offsets, scratch) for each sample and head, on all threads.
template <class Body>
void for_each_head(const Shape& q, const Shape& k, Body&& body) {
  const std::int64_t queries = q[1], heads = q[2], channels = q[3], keys = k[1];
  parallel_for(q[0] * heads, 1, [&](std::int64_t first, std::int64_t last) {
    AttentionScratch scratch;
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t sample = i / heads, head = i % heads;
      body(HeadOffsets{(sample * queries * heads + head) * channels, (sample * keys * heads + head) * channels,
                       i * queries},
           scratch);
    }
  });
}

void forward_cpu(Stream&, const AttentionForward& arguments) {
  const auto& [q, k, v, out, log_sum_exp, scale] = arguments;
  AttentionHead common{
      .queries = q.shape[1], .keys = k.shape[1], .channels = q.shape[3], .row = q.shape[2] * q.shape[3]};
  common.scale = static_cast<float>(scale);
  for_each_head(q.shape, k.shape, [&](const HeadOffsets& offsets, AttentionScratch& scratch) {
    AttentionHead head = common;
    head.q = arguments.q.as<float>() + offsets.queries;
    head.k = arguments.k.as<float>() + offsets.keys;
    head.v = arguments.v.as<float>() + offsets.keys;
    head.log_sum_exp = arguments.log_sum_exp.as<float>() + offsets.log_sum_exp;
    HWY_DYNAMIC_DISPATCH(forward_head)(head, arguments.out.as<float>() + offsets.queries, scratch);
  });
}

void backward_cpu(Stream&, const AttentionBackward& arguments) {
  const Shape &q = arguments.q.shape, &k = arguments.k.shape;
  AttentionHead common{.queries = q[1], .keys = k[1], .channels = q[3], .row = q[2] * q[3]};
  common.scale = static_cast<float>(arguments.scale);
  for_each_head(q, k, [&](const HeadOffsets& offsets, AttentionScratch& scratch) {
    AttentionHead head = common;
    head.q = arguments.q.as<float>() + offsets.queries;
    head.k = arguments.k.as<float>() + offsets.keys;
    head.v = arguments.v.as<float>() + offsets.keys;
    head.out = arguments.out.as<float>() + offsets.queries;
    head.grad_out = arguments.grad_out.as<float>() + offsets.queries;
    head.log_sum_exp = arguments.log_sum_exp.as<float>() + offsets.log_sum_exp;
    HWY_DYNAMIC_DISPATCH(backward_head)
    (head,
     {.grad_q = arguments.grad_q.as<float>() + offsets.queries,
      .grad_k = arguments.grad_k.as<float>() + offsets.keys,
      .grad_v = arguments.grad_v.as<float>() + offsets.keys},
     scratch);
  });
}

const bool registered = attention_forward.implement(DeviceKind::cpu, &forward_cpu) &&
                        attention_backward.implement(DeviceKind::cpu, &backward_cpu);

}  // namespace
}  // namespace tweedie
#endif  // HWY_ONCE
