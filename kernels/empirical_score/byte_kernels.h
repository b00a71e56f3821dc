#pragma once

#include <cstdint>

namespace tweedie::empirical {

// Real numbers as whole multiples k of a step, 0 <= k < 2^24, in three rows of base-256 digits: products of digits with
// bytes are whole numbers, which processors with byte dot products sum exactly and fast.

/// Three rows of digits, the most significant first: pointers to bytes, or to sums of products of digits.
template <class T>
struct Digits {
  T *high, *middle, *low;
};

/// A row of values >= 0 as k step.
struct WholeRow {
  double step;
  double sum;  // of all k
};
/// Chooses the step by the largest value and writes the digits. What rounding leaves goes to the next value of the same
/// lane, so that equal values are right on average.
WholeRow write_digits(const float* values, const Digits<std::uint8_t>& digits, std::int64_t count);

/// 2^16 high[i] + 2^8 middle[i] + low[i] - factor offsets[i] of sums of digits, in units of `scale`.
struct WholeSums {
  Digits<const std::int32_t> digits;
  double factor;
  const double* offsets;
  double scale;
};
/// out[i] = the sum - constant - rate addends[i], formed in double.
void combine_digits(const WholeSums& sums, double constant, double rate, const double* addends, float* out,
                    std::int64_t count);

/// y[j] = x[j] - 128; returns the sum of y.
std::int64_t centre_bytes_at_128(const std::uint8_t* x, std::int8_t* y, std::int64_t count);

}  // namespace tweedie::empirical
