#pragma once

#include "nn/layers.h"

namespace tweedie {

/// sinusoidal: Vaswani et al. 2017; fourier: sine and cosine of random frequencies times log t (Song et al. 2021), the
/// frequencies saved but not trained; learned: a row of a table for each whole t.
enum class TimeEmbeddingKind : std::uint8_t { sinusoidal, fourier, learned };

struct TimeProjectionOptions {
  TimeEmbeddingKind kind = TimeEmbeddingKind::sinusoidal;
  std::int64_t channels = 0;       // block_out_channels[0] in a U-Net
  bool cos_first = true;           // sinusoidal only
  double frequency_shift = 0.0;    // sinusoidal only
  double frequency_scale = 16.0;   // fourier only: standard deviation of the frequencies at the start
  std::int64_t table_entries = 0;  // learned only
};

/// t (N), floating, to features (N, out_channels()); not differentiable in t. Parameter: weight, none when sinusoidal.
class TimeProjection : public Module {
 public:
  TimeProjection(const Scope& scope, const TimeProjectionOptions& options);
  Tensor operator()(const Tensor& t) const;
  std::int64_t out_channels() const;

 private:
  TimeProjectionOptions options_;
  Tensor weight_;
};

/// linear_2(silu(linear_1(x))): features (N, in) to an embedding (N, out).
class EmbeddingMlp : public Module {
 public:
  EmbeddingMlp(const Scope& scope, std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x) const;
  double flops(double rows) const { return linear_1_.flops(rows) + linear_2_.flops(rows); }

 private:
  const Linear &linear_1_, &linear_2_;
};

/// The values of a floating tensor as int64. Throws Error naming `what` where one is not a whole number.
Tensor whole_numbers(const Tensor& x, std::string_view what);
/// The values of an int64 tensor as floating ones; a floating tensor is returned as it is.
Tensor floating_values(const Tensor& x);

}  // namespace tweedie
