#pragma once

#include "kernels/runtime/operation.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// y[n, j] (write) x[n, j] / (1 - probability) where uniform(key, samples[n], j) >= probability, else 0. x, y (N, D);
/// float32 or bfloat16; samples (N) int64. The same call on a gradient is the backward: the mask is drawn again, never
/// stored. bytes: x + y.
struct Dropout {
  Array x, samples, y;
  double probability = 0.0;
  RandomKey key;
  Write write = Write::overwrite;
};
void validate(const Dropout& arguments);
double flops(const Dropout& arguments);
double bytes_moved(const Dropout& arguments);
extern Operation<Dropout> apply_dropout;

}  // namespace tweedie
