#pragma once

#include "kernels/runtime/operation.h"

namespace tweedie {

/// loss[n] = weight[n] mean_j (prediction[n, j] - target[n, j])^2: a loss a sample, reduced by the caller.
/// prediction, target (N, D), float32 or bfloat16; weight (N), optional (1 where absent), and loss (N), float32. Sums
/// are formed in double. bytes: prediction + target + loss; flops: 3 an element.
struct SquaredErrorForward {
  Array prediction, target, weight, loss;
};
void validate(const SquaredErrorForward& arguments);
double flops(const SquaredErrorForward& arguments);
double bytes_moved(const SquaredErrorForward& arguments);
extern Operation<SquaredErrorForward> squared_error_forward;

/// grad_prediction (write) grad_loss[n] weight[n] (2 / D) (prediction - target). grad_loss (N), float32.
struct SquaredErrorBackward {
  Array prediction, target, weight, grad_loss, grad_prediction;
  Write write = Write::overwrite;
};
void validate(const SquaredErrorBackward& arguments);
double flops(const SquaredErrorBackward& arguments);
double bytes_moved(const SquaredErrorBackward& arguments);
extern Operation<SquaredErrorBackward> squared_error_backward;

}  // namespace tweedie
