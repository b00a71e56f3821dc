#pragma once

#include <cmath>

#include "kernels/optimizer/optimizer.h"

namespace tweedie {

/// The numbers of one AdamW step that every element shares, formed in double: with them
///   m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,  p = decay p - step_size m / (correction2 sqrt(v) + epsilon),
///   average += average_rest (p - average).
struct AdamCoefficients {
  float gradient_scale, beta1, rest1, beta2, rest2, correction2, epsilon, step_size, decay, average_rest;
};

inline AdamCoefficients adam_coefficients(const AdamStep& arguments, float gradient_scale) {
  const auto step = static_cast<double>(arguments.step);
  const double correction1 = 1.0 - std::pow(arguments.beta1, step), correction2 = 1.0 - std::pow(arguments.beta2, step);
  return {.gradient_scale = gradient_scale,
          .beta1 = static_cast<float>(arguments.beta1),
          .rest1 = static_cast<float>(1.0 - arguments.beta1),
          .beta2 = static_cast<float>(arguments.beta2),
          .rest2 = static_cast<float>(1.0 - arguments.beta2),
          .correction2 = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = static_cast<float>(arguments.epsilon),
          .step_size = static_cast<float>(arguments.learning_rate / correction1),
          .decay = static_cast<float>(1.0 - arguments.learning_rate * arguments.weight_decay),
          .average_rest = static_cast<float>(1.0 - arguments.average_decay)};
}

}  // namespace tweedie
