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

/// A tile of the scores is query_tile x key_tile: 16 KiB, which stays in the first-level cache with its operands.
inline constexpr std::int64_t query_tile = 32, key_tile = 128;

/// Buffers of one thread, for as long as it works on one call.
struct AttentionScratch {
  std::vector<float> packed_k, packed_v, transposed, q, grad_out, scores, grad_scores, sums, grad_q, grad_k, grad_v;
};

}  // namespace tweedie
#endif

HWY_BEFORE_NAMESPACE();
namespace tweedie {
namespace HWY_NAMESPACE {
namespace {

/// (rows, channels) to (rows, padded channels), zero beyond.
void pack_rows(const float* from, std::int64_t row, std::int64_t rows, std::int64_t channels, std::vector<float>& to) {
  const std::int64_t width = padded_to_panel(channels);
  to.resize(rows * width);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::copy_n(from + r * row, channels, &to[r * width]);
    std::fill_n(&to[r * width] + channels, width - channels, 0.0f);
  }
}

/// (rows, channels) to (channels, padded rows), zero beyond.
void pack_transposed(const float* from, std::int64_t row, std::int64_t rows, std::int64_t channels, float* to) {
  const std::int64_t width = padded_to_panel(rows);
  for (std::int64_t d = 0; d < channels; ++d) {
    for (std::int64_t r = 0; r < rows; ++r) to[d * width + r] = from[r * row + d];
    std::fill_n(to + d * width + rows, width - rows, 0.0f);
  }
}

/// c (rows, columns) = [c +] a b, with a's element (i, k) at a[i * a_row + k * a_inner].
HWY_INLINE void multiply(const float* a, std::int64_t a_row, std::int64_t a_inner, const float* b, std::int64_t b_row,
                         float* c, std::int64_t c_row, std::int64_t rows, std::int64_t columns, std::int64_t inner,
                         bool accumulate) {
  panel_gemm({.rows = rows,
              .columns = columns,
              .inner = inner,
              .a = &a,
              .a_row = a_row,
              .a_inner = a_inner,
              .b = b,
              .b_row = b_row,
              .c = c,
              .c_row = c_row,
              .start = accumulate ? PanelStart::output : PanelStart::zero});
}

/// row *= scale; returns its largest element (a NaN may be passed over here: its exponential is NaN again).
HWY_INLINE float scaled_maximum(float* row, std::int64_t count, float scale) {
  float largest = -std::numeric_limits<float>::infinity();
  const FloatTag d;
  auto maximum = hn::Set(d, largest);
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::Mul(hn::LoadU(d, row + i), hn::Set(d, scale));
    hn::StoreU(value, d, row + i);
    maximum = hn::Max(maximum, value);
  }
  largest = hn::GetLane(hn::MaxOfLanes(d, maximum));
  for (; i < count; ++i) {
    row[i] *= scale;
    largest = std::max(largest, row[i]);
  }
  return largest;
}

/// row[i] = exp(row[i] - shift); returns the sum.
HWY_INLINE float exponentials(float* row, std::int64_t count, float shift) {
  const FloatTag d;
  auto sum = hn::Zero(d);
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto shifts = hn::Set(d, shift);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = exp_anywhere(d, hn::Sub(hn::LoadU(d, row + i), shifts));
    hn::StoreU(value, d, row + i);
    sum = hn::Add(sum, value);
  }
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  const hn::CappedTag<float, 1> single;
  for (; i < count; ++i) {
    row[i] = hn::GetLane(exp_anywhere(single, hn::Set(single, row[i] - shift)));
    total += row[i];
  }
  return total;
}

HWY_INLINE void scale_row(float* row, std::int64_t count, float factor) {
  for_each_vector(count, [&](auto d, std::int64_t i) {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + i), hn::Set(d, factor)), d, row + i);
  });
}

void forward_head(const AttentionHead& head, float* out, AttentionScratch& scratch) {
  const std::int64_t channels = head.channels, width = padded_to_panel(channels);
  pack_rows(head.v, head.row, head.keys, channels, scratch.packed_v);
  const std::int64_t key_tiles = (head.keys + key_tile - 1) / key_tile;
  scratch.transposed.resize(key_tiles * channels * key_tile);
  for (std::int64_t tile = 0; tile < key_tiles; ++tile)
    pack_transposed(head.k + tile * key_tile * head.row, head.row, std::min(key_tile, head.keys - tile * key_tile),
                    channels, &scratch.transposed[tile * channels * key_tile]);
  scratch.scores.resize(query_tile * key_tile);
  scratch.sums.resize(query_tile * width);
  for (std::int64_t first = 0; first < head.queries; first += query_tile) {
    const std::int64_t queries = std::min(query_tile, head.queries - first);
    float largest[query_tile], normaliser[query_tile];
    std::fill_n(largest, queries, -std::numeric_limits<float>::infinity());
    std::fill_n(normaliser, queries, 0.0f);
    float* sums = scratch.sums.data();
    for (std::int64_t tile = 0; tile < key_tiles; ++tile) {
      const std::int64_t keys = std::min(key_tile, head.keys - tile * key_tile), key_width = padded_to_panel(keys);
      multiply(head.q + first * head.row, head.row, 1, &scratch.transposed[tile * channels * key_tile], key_width,
               scratch.scores.data(), key_tile, queries, key_width, channels, false);
      for (std::int64_t t = 0; t < queries; ++t) {
        float* row = &scratch.scores[t * key_tile];
        const float maximum = std::max(largest[t], scaled_maximum(row, keys, head.scale));
        const float sum = exponentials(row, keys, maximum);
        if (tile > 0) {
          // What came before was relative to the smaller maximum.
          const float factor = std::exp(largest[t] - maximum);
          normaliser[t] *= factor;
          scale_row(sums + t * width, width, factor);
        }
        normaliser[t] += sum;
        largest[t] = maximum;
      }
      multiply(scratch.scores.data(), key_tile, 1, &scratch.packed_v[tile * key_tile * width], width, sums, width,
               queries, width, keys, tile > 0);
    }
    for (std::int64_t t = 0; t < queries; ++t) {
      scale_row(sums + t * width, width, 1.0f / normaliser[t]);
      std::copy_n(sums + t * width, channels, out + (first + t) * head.row);
      head.log_sum_exp[first + t] = largest[t] + std::log(normaliser[t]);
    }
  }
}

HWY_INLINE float dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0.0f;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

/// p = exp(scale p - log_sum_exp) and grad = scale p (grad - delta), the gradient of the unscaled scores.
HWY_INLINE void probabilities(float* p, float* grad, std::int64_t count, float scale, float log_sum_exp, float delta) {
  for_each_vector(count, [&](auto d, std::int64_t i) {
    const auto probability =
        exp_anywhere(d, hn::MulSub(hn::LoadU(d, p + i), hn::Set(d, scale), hn::Set(d, log_sum_exp)));
    const auto slope = hn::Mul(hn::Set(d, scale), hn::Sub(hn::LoadU(d, grad + i), hn::Set(d, delta)));
    hn::StoreU(probability, d, p + i);
    hn::StoreU(hn::Mul(probability, slope), d, grad + i);
  });
}

void copy_out(const std::vector<float>& from, std::int64_t width, std::int64_t rows, std::int64_t channels, float* to,
              std::int64_t row) {
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(&from[r * width], channels, to + r * row);
}

/// With P = softmax(scale q k'), dP = grad_out v' and dS = scale P (dP - delta), delta = rowsum(grad_out * out):
/// grad_v = P' grad_out, grad_q = dS k, grad_k = dS' q (Dao et al. 2022, appendix B). Tiles of keys are the outer loop.
void backward_head(const AttentionHead& head, const AttentionOutputs& outputs, AttentionScratch& scratch) {
  const std::int64_t channels = head.channels, width = padded_to_panel(channels), queries = head.queries;
  pack_rows(head.q, head.row, queries, channels, scratch.q);
  pack_rows(head.grad_out, head.row, queries, channels, scratch.grad_out);
  pack_rows(head.k, head.row, head.keys, channels, scratch.packed_k);
  scratch.grad_q.assign(queries * width, 0.0f);
  scratch.grad_k.assign(head.keys * width, 0.0f);
  scratch.grad_v.assign(head.keys * width, 0.0f);
  scratch.scores.resize(query_tile * key_tile);
  scratch.grad_scores.resize(query_tile * key_tile);
  scratch.transposed.resize(2 * channels * key_tile);
  float* const key_columns = scratch.transposed.data();
  float* const value_columns = key_columns + channels * key_tile;
  float* const p = scratch.scores.data();
  float* const grad_p = scratch.grad_scores.data();
  scratch.sums.resize(queries);
  float* const delta = scratch.sums.data();
  for (std::int64_t t = 0; t < queries; ++t)
    delta[t] = dot(head.grad_out + t * head.row, head.out + t * head.row, channels);

  for (std::int64_t start = 0; start < head.keys; start += key_tile) {
    const std::int64_t keys = std::min(key_tile, head.keys - start), key_width = padded_to_panel(keys);
    pack_transposed(head.k + start * head.row, head.row, keys, channels, key_columns);
    pack_transposed(head.v + start * head.row, head.row, keys, channels, value_columns);
    for (std::int64_t first = 0; first < queries; first += query_tile) {
      const std::int64_t rows = std::min(query_tile, queries - first);
      const float* q = &scratch.q[first * width];
      const float* grad_out = &scratch.grad_out[first * width];
      multiply(q, width, 1, key_columns, key_width, p, key_tile, rows, key_width, channels, false);
      multiply(grad_out, width, 1, value_columns, key_width, grad_p, key_tile, rows, key_width, channels, false);
      for (std::int64_t t = 0; t < rows; ++t)
        probabilities(p + t * key_tile, grad_p + t * key_tile, keys, head.scale, head.log_sum_exp[first + t],
                      delta[first + t]);
      multiply(p, 1, key_tile, grad_out, width, &scratch.grad_v[start * width], width, keys, width, rows, true);
      multiply(grad_p, 1, key_tile, q, width, &scratch.grad_k[start * width], width, keys, width, rows, true);
      multiply(grad_p, key_tile, 1, &scratch.packed_k[start * width], width, &scratch.grad_q[first * width], width,
               rows, width, keys, true);
    }
  }
  copy_out(scratch.grad_q, width, queries, channels, outputs.grad_q, head.row);
  copy_out(scratch.grad_k, width, head.keys, channels, outputs.grad_k, head.row);
  copy_out(scratch.grad_v, width, head.keys, channels, outputs.grad_v, head.row);
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
