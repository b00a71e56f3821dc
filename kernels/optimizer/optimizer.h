#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

/// One parameter with all that an optimiser step touches; every array has the parameter's shape. `average` (the EMA
/// weights) is optional.
struct OptimizerTensor {
  Array parameter, gradient, first_moment, second_moment, average;
};

/// AdamW (Loshchilov and Hutter 2019; weight_decay = 0 is Adam, Kingma and Ba 2015) and the exponential moving average
/// of the weights, over all parameters in one call:
///   g = scale gradient,  m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
///   p = p (1 - lr weight_decay) - lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon),
///   average = average_decay average + (1 - average_decay) p.
/// gradient_scale (1), optional: one number on the device, as global_norm writes it. step counts from 1.
/// bytes: parameter, moments, average read and written, gradient read; flops: about 16 an element.
struct AdamStep {
  std::span<const OptimizerTensor> tensors;
  Array gradient_scale;
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.0;
  double average_decay = 0.999;
  std::int64_t step = 1;
};
void validate(const AdamStep& arguments);
double flops(const AdamStep& arguments);
double bytes_moved(const AdamStep& arguments);
extern Operation<AdamStep> adam_step;

/// norm (1) = sqrt of the sum of squares of all arrays, summed in double in a fixed order;
/// scale (1), optional = min(1, max_norm / norm), 1 where max_norm is 0 (no clipping).
struct GlobalNorm {
  std::span<const Array> arrays;
  Array norm, scale;
  double max_norm = 0.0;
};
void validate(const GlobalNorm& arguments);
double flops(const GlobalNorm& arguments);
double bytes_moved(const GlobalNorm& arguments);
extern Operation<GlobalNorm> global_norm;

/// count (1) int64 = how many values of all arrays are NaN or infinite.
struct CountNonfinite {
  std::span<const Array> arrays;
  Array count;
};
void validate(const CountNonfinite& arguments);
double flops(const CountNonfinite& arguments);
double bytes_moved(const CountNonfinite& arguments);
extern Operation<CountNonfinite> count_nonfinite;

}  // namespace tweedie
